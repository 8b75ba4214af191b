"""A look at the files of a model: what is refused, and that it takes no torch."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voiced.child.convert import reason_of
from voiced.child.weight_files import check_file
from voiced.child.weight_values import Refused


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        safetensors({}),
        safetensors({"__metadata__": {"a": "b"}}),
        safetensors(b"{", length=1 << 62),
        safetensors(b"[" * 100_000),
        safetensors({"w": entry(0, 8, [1])}, b"\0" * 8),
        safetensors({"w": entry(0, 4, [1])}, b"\0" * 3),
        safetensors({"w": entry(0, 4, [1])}, b"\0" * 9),
        safetensors({"w": entry(4, 0, [1])}, b"\0" * 4),
        safetensors({"w": entry(0, 4, [1]), "v": entry(0, 4, [1])}, b"\0" * 4),
        safetensors({"w": entry(0, 4, [1]), "v": entry(2, 6, [1])}, b"\0" * 6),
        safetensors({"w": entry(0, 4, [1 << 62, 1 << 62])}, b"\0" * 4),
        safetensors({"w": entry(0, 4, [-1])}, b"\0" * 4),
        safetensors({"w": entry(0, 4, [1], "F99")}, b"\0" * 4),
        safetensors({"w": entry(0, 4, [1])}, struct.pack("<f", float("nan"))),
    ],
)
def test_hostile_safetensors(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(data)
    with pytest.raises(Exception, match=r".") as caught:
        check_file(file, print)
    assert reason_of(caught.value)


def test_good_files_pass(tmp_path: Path) -> None:
    for name, data in {
        "w.safetensors": safetensors({"w": entry(0, 4, [1])}, b"\0" * 4),
        "config.json": b"{}",
        "vocab.json": b"[1]",
        "m.gguf": b"GGUF\3",
        "m.onnx": b"x",
        "notes.txt": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        check_file(tmp_path / name, print)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("config.json", b"[]"),
        ("config.json", b'{"a":"' + b"x" * (1 << 20) + b'"}'),
        ("sub.json", b"{"),
        ("m.gguf", b"PK\3\4"),
        ("m.onnx", b""),
    ],
)
def test_other_files_that_are_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((Refused, ValueError)):
        check_file(tmp_path / name, print)


@pytest.mark.process
def test_progress_is_told_in_bytes_and_no_torch_is_needed(tmp_path: Path) -> None:
    """It takes a second to import, of every `voiced pull`."""
    file, size = tmp_path / "w.safetensors", 40 << 20
    file.write_bytes(safetensors({"w": entry(0, size, [size // 2], "BF16")}, bytes(size)))
    program = (
        "import sys, pathlib\n"
        "from voiced.child.weight_files import check_file\n"
        "check_file(pathlib.Path(sys.argv[1]), print)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, check=True)
    assert sum(int(line) for line in done.stdout.split()) == size
