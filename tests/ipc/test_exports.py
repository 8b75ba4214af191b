"""What a package promises to its users."""

import subprocess
import sys

import pytest

import voiced_ipc


def test_all_is_sorted_and_complete() -> None:
    assert voiced_ipc.__all__ == sorted(voiced_ipc.__all__, key=lambda name: (name.islower(), name))
    for name in voiced_ipc.__all__:
        assert getattr(voiced_ipc, name).__name__ == name


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="Singer"):
        _ = voiced_ipc.Singer


@pytest.mark.process
def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, voiced_ipc.errors, voiced_ipc.endpoint; print([*sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'voiced_ipc.errors'" in loaded
    assert not any(f"'{name}'" in loaded for name in ("zmq", "msgspec", "msgpack", "asyncio"))
