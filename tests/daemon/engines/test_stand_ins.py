"""Stand-ins: there inside, gone afterwards, and never in the way of the real one."""

import importlib
import importlib.util
import sys

import pytest

from voiced.engines.stand_ins import stood_in


def test_what_is_missing_can_be_imported_inside_and_not_afterwards() -> None:
    with stood_in({"no_such": {"Name": int}, "no_such.part": {"other": 3}}):
        module = importlib.import_module("no_such")
        assert module.Name is int
        assert module.part is importlib.import_module("no_such.part")
        assert module.part.other == 3
        # Who asks whether it is there gets an answer and no error.
        assert importlib.util.find_spec("no_such") is not None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such")


def _fail_inside() -> None:
    with stood_in({"json": {}}):
        raise ImportError("inside")


def test_the_real_one_comes_back_also_after_an_error() -> None:
    before = sys.modules["json"]
    with stood_in({"json": {}}):
        assert sys.modules["json"] is not before
    assert sys.modules["json"] is before
    with pytest.raises(ImportError, match="inside"):
        _fail_inside()
    assert sys.modules["json"] is before
