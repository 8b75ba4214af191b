"""What several test folders need."""

import os

import pytest

REQUIRED = frozenset(filter(None, os.environ.get("VOICED_REQUIRE", "").split(",")))
"""Groups whose tests must run here: a skip inside one is a failure."""


def need(group: str, is_there: bool, reason: str) -> None:
    """Skip the test with `reason` unless `is_there`; fail where VOICED_REQUIRE names the group."""
    if is_there:
        return
    if group in REQUIRED:
        pytest.fail(f"{group} is required here: {reason}")
    pytest.skip(reason)
