"""The tree of errors and its table."""

import pytest

from voiced_ipc import errors
from voiced_ipc.errors import ERROR_CLASSES, ErrorCode, VoicedError, error_for


def test_every_code_has_one_class_and_the_reverse() -> None:
    assert set(ERROR_CLASSES) == set(ErrorCode)
    assert len(set(ERROR_CLASSES.values())) == len(ErrorCode)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__
    for cls in ERROR_CLASSES.values():
        assert cls.__name__ in errors.__doc__, cls


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_crosses_the_wire_as_its_own_class(code: ErrorCode) -> None:
    error = error_for(code.value, "what happened")
    assert type(error) is ERROR_CLASSES[code]
    assert error.message == "what happened"


def test_a_code_of_a_newer_daemon_is_a_plain_error() -> None:
    error = error_for("out-of-coffee", "no coffee")
    assert type(error) is VoicedError
    assert "out-of-coffee" in error.message
