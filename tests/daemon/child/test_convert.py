"""The reader of untrusted weights: what it makes of torch's files, and what it refuses."""

import io
import json
import os
import signal
import struct
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support import need
from voiced.child.convert import (
    Teller,
    convert,
    read_torch,
    write_safetensors,
)
from voiced.child.weight_values import Refused

if TYPE_CHECKING:
    import torch


@pytest.fixture(autouse=True)
def _needs_torch() -> None:
    need("engines", find_spec("torch") is not None, "torch is not installed: pip install 'voiced[models]'")


def saved(file: Path, value: Any, **more: Any) -> Path:
    import torch

    torch.save(value, file, **more)
    return file


def teller() -> Teller:
    return Teller(io.StringIO(), 1)


def converted(folder: Path, value: Any) -> tuple[dict[str, "torch.Tensor"], dict[str, Any], bytes]:
    """Return tensors and values of what a saved value becomes, and the file."""
    from safetensors import safe_open

    source, target = folder / "w.pth", folder / "w.safetensors"
    target.unlink(missing_ok=True)
    write_safetensors(target, read_torch(saved(source, value)), teller())
    with safe_open(target, "pt") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    assert metadata["format"] == "pt"
    return tensors, json.loads(metadata.get("values", "{}")), target.read_bytes()


# -- what is converted --------------------------------------------------------------------------------


def test_nesting_becomes_dots_and_values_are_kept(tmp_path: Path) -> None:
    import torch

    weight = torch.randn(3, 4)
    value = {
        "net": {"a.b": weight, "list": [weight, {"x": weight}], "sizes": (1, 2), "n": None},
        "epoch": 3,
        "lr": 0.5,
        "name": "é",
        7: weight,
    }
    tensors, values, _ = converted(tmp_path, value)
    assert set(tensors) == {"net.a.b", "net.list.0", "net.list.1.x", "7"}
    assert all(torch.equal(tensor, weight) for tensor in tensors.values())
    assert values == {"net.sizes": [1, 2], "net.n": None, "epoch": 3, "lr": 0.5, "name": "é"}


def test_a_bare_tensor_and_a_bare_list(tmp_path: Path) -> None:
    import torch

    assert set(converted(tmp_path, torch.ones(2))[0]) == {"tensor"}
    assert set(converted(tmp_path, [torch.ones(2), torch.ones(3)])[0]) == {"0", "1"}


@pytest.mark.parametrize(
    "name",
    [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "float8_e4m3fn",
        "complex64",
        "int64",
        "int8",
        "uint8",
        "bool",
    ],
)
def test_every_kind_keeps_its_bits(tmp_path: Path, name: str) -> None:
    import torch

    dtype = getattr(torch, name)
    value = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype)
    tensors, _, data = converted(
        tmp_path, {"odd": torch.ones(3, dtype=torch.uint8), "w": value, "s": value[0, 1]}
    )
    assert tensors["w"].dtype is dtype
    assert torch.equal(tensors["w"].view(torch.uint8), value.view(torch.uint8))
    assert tensors["s"].shape == ()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert (8 + length) % 8 == 0
    assert header["w"]["data_offsets"][0] % value.element_size() == 0  # a mapped view may begin there


def test_strides_views_parameters_and_legacy_files(tmp_path: Path) -> None:
    import torch

    base = torch.arange(24.0).reshape(4, 6)
    value = {
        "turned": base.t(),
        "column": base[:, 2],
        "same": base,
        "again": base,
        "spread": torch.ones(1).expand(5),
        "parameter": torch.nn.Parameter(base),
        "empty": torch.zeros(0, 3),
        "conjugate": torch.tensor([1 + 2j]).conj(),
    }
    tensors, _, _ = converted(tmp_path, value)
    for name, tensor in value.items():
        assert torch.equal(tensors[name], tensor.detach().resolve_conj()), name
    saved(tmp_path / "old.bin", {"w": base}, _use_new_zipfile_serialization=False)
    assert torch.equal(read_torch(tmp_path / "old.bin").tensors["w"], base)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.integers(0, 5),
        lambda inner: st.dictionaries(st.text("abc.", max_size=3), inner, max_size=4),
        max_leaves=12,
    )
)
@example({"": {".": 0}, "..": {}})
def test_every_leaf_arrives_or_the_file_is_refused(tmp_path: Path, shape: Any) -> None:
    import torch

    def grown(value: Any) -> Any:
        return (
            {key: grown(one) for key, one in value.items()} if isinstance(value, dict) else torch.ones(value)
        )

    def leaves(value: Any, prefix: str) -> list[tuple[str, int]]:
        if not isinstance(value, dict):
            return [(prefix, value)]
        return [
            leaf for key, one in value.items() for leaf in leaves(one, f"{prefix}.{key}" if prefix else key)
        ]

    expected = leaves(shape, "root")
    if not expected or len({name for name, _ in expected}) < len(expected):
        with pytest.raises(Refused, match=r"twice|no tensor"):
            converted(tmp_path, {"root": grown(shape)})
        return
    tensors, _, _ = converted(tmp_path, {"root": grown(shape)})
    assert {name: len(tensor) for name, tensor in tensors.items()} == dict(expected)


# -- what is refused ----------------------------------------------------------------------------------


def _cycle() -> Any:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


def _bush() -> Any:
    """2 to the power of 40 leaves in a few hundred bytes."""
    value: dict[str, Any] = {"end": 1}
    for _ in range(40):
        value = {"a": value, "b": value}
    return value


def _list_cycle() -> Any:
    value: list[Any] = []
    value.append(value)
    return {"v": value}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda torch: {}, "no tensor"),
        (lambda torch: {"n": 1}, "no tensor"),
        (lambda torch: {"a": {"b": torch.ones(1)}, "a.b": torch.ones(1)}, "'a.b' twice"),
        (lambda torch: {"__metadata__": torch.ones(1)}, "twice"),
        (lambda torch: {"w": torch.ones(1), "s": {1, 2}}, "'s' is a set"),
        (lambda torch: {"w": torch.ones(1), "x": float("nan")}, "'x' is a float"),
        (lambda torch: {"w": torch.ones(2, 2).to_sparse()}, "no weights"),
        (lambda torch: {"w": torch.ones(2, device="meta")}, "no weights"),
        (lambda torch: {"w": torch.ones(2, dtype=torch.complex128)}, "no weights"),
        (lambda torch: _cycle(), "nested too deep"),
        (lambda torch: _list_cycle(), "nested too deep"),
        (lambda torch: _bush(), "nested too deep"),
    ],
)
def test_what_is_not_made_of_tensors_and_values(tmp_path: Path, make: Any, words: str) -> None:
    import torch

    with pytest.raises(Refused, match=words):
        read_torch(saved(tmp_path / "w.pth", make(torch)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64", "complex64"])
def test_weights_that_are_no_numbers(tmp_path: Path, bad: float, kind: str) -> None:
    import torch

    value = torch.ones(9_000_000 if kind == "float16" else 3, dtype=getattr(torch, kind))
    value[-1] = bad
    with pytest.raises(Refused, match=r"'net\.w' hold values that are no numbers"):
        converted(tmp_path, {"net": {"w": value}})


def test_a_mask_of_minus_infinity_is_no_fault(tmp_path: Path) -> None:
    import torch

    mask = torch.full((4, 4), -float("inf")).triu(1)
    assert torch.equal(converted(tmp_path, {"mask": mask})[0]["mask"], mask)
    with pytest.raises(Refused):
        converted(tmp_path, {"mask": -mask})


def test_a_tensor_far_greater_than_its_file(tmp_path: Path) -> None:
    import torch

    (tmp_path / "out").mkdir()
    saved(tmp_path / "w.pth", {"w": torch.ones(1).expand(1 << 40)})
    with pytest.raises(Refused, match="far greater"):
        convert(tmp_path, tmp_path / "out", ["w.pth"], teller())
    assert list((tmp_path / "out").iterdir()) == []


def test_a_compressed_archive(tmp_path: Path) -> None:
    import torch

    saved(tmp_path / "w.pth", {"w": torch.zeros(1000)})
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as old,
        zipfile.ZipFile(tmp_path / "z.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(Refused, match="compressed"):
        read_torch(tmp_path / "z.pth")


# -- the process --------------------------------------------------------------------------------------


def child(source: Path, target: Path, *names: str, before: str = "") -> tuple[int, list[dict[str, Any]]]:
    """Run the program; returns its exit code and what it told.

    Args:
        before: Code that runs in it first.
    """
    code = f"{before}\nimport sys\nfrom voiced.child import convert\nsys.exit(convert.main())"
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            code,
            "--parent",
            str(os.getpid()),
            "--",
            str(source),
            str(target),
            *names,
        ],
        check=False,
        stdout=subprocess.PIPE,
        timeout=60,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.process
def test_a_file_that_takes_too_much_memory(tmp_path: Path) -> None:
    """Not archived, so that it must be read whole; and it asks for more than its size."""
    from torch import ones

    (tmp_path / "out").mkdir()
    saved(tmp_path / "w.pth", {"w": ones(10)})
    eater = "import voiced.child.convert as c; c.read_torch = lambda file: bytearray(64 << 30)"
    code, told = child(tmp_path, tmp_path / "out", "w.pth", before=eater)
    assert code == 1
    assert "takes more than a file of its size may (MemoryError)" in told[-1]["refused"]


@pytest.mark.process
def test_what_it_tells(tmp_path: Path) -> None:
    from torch import ones

    (tmp_path / "out").mkdir()
    saved(tmp_path / "w.pth", {"w": ones(10_000_000)})
    (tmp_path / "out" / "config.json").write_text("{}")
    noise = (
        "import os, voiced.child.convert as c\n"
        "whole = c.convert\n"
        "c.convert = lambda *rest: (os.write(1, b'noise of a library'), whole(*rest))"
    )
    code, told = child(tmp_path, tmp_path / "out", "w.pth", before=noise)
    assert code == 0, told
    assert [line["what"] for line in told] == ["converting w.pth"] * 3 + ["checking config.json"]
    size = (tmp_path / "w.pth").stat().st_size
    assert [line["total"] for line in told] == [size] * 4
    assert [line["done"] for line in told] == sorted(line["done"] for line in told)
    assert (tmp_path / "out" / "w.safetensors").stat().st_mode & 0o777 == 0o600


@pytest.mark.process
def test_it_has_no_network(tmp_path: Path) -> None:
    look = (
        "import socket\n"
        "import voiced.child.convert as c\n"
        "def look(*rest):\n"
        "    try:\n"
        "        socket.create_connection(('127.0.0.1', PORT), 5)\n"
        "    except OSError as error:\n"
        "        raise c.Refused(f'no way out: {error}')\n"
        "c.convert = look"
    )
    import socket

    is_possible = subprocess.run(["unshare", "-Un", "true"], check=False, capture_output=True).returncode == 0
    need("root", is_possible, "this system lets nobody make a network namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, told = child(tmp_path, tmp_path, before=look.replace("PORT", str(server.getsockname()[1])))
    assert code == 1
    assert "no way out" in told[-1]["refused"]


@pytest.mark.process
def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """A number that is not its parent's: it was started by a process that is gone."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "voiced.child.convert", "--parent", "1", str(tmp_path), str(tmp_path)],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.process
def test_ctrl_c_is_its_parents_business(tmp_path: Path) -> None:
    code, told = child(
        tmp_path,
        tmp_path,
        before="import os, voiced.child.convert as c\n"
        f"c.convert = lambda *rest: os.kill(os.getpid(), {int(signal.SIGINT)})",
    )
    assert (code, told) == (0, [])


@pytest.mark.process
def test_it_imports_no_torch_where_there_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    look = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: os._exit(7 if 'torch' in sys.modules or 'safetensors' in sys.modules else 0))"
    )
    code, told = child(tmp_path, tmp_path, before=look)
    assert code == 0
    assert [line["what"] for line in told] == ["checking config.json"]
