"""The throw-away program that reads weights nobody has vouched for, before a model is installed.

`python -P -m voiced.child.convert --parent PID SOURCE TARGET NAME...`: each NAME is a torch file below SOURCE and
becomes a safetensors file of the same name below TARGET; then every file below TARGET is looked at. Run by the
model library, which trusts nothing that it says but its refusals. Here a hostile file meets a process without
network, with limits on memory and time, and with `weights_only`: it runs nothing, and a crash costs this process.

On standard output a JSON line each: `{"what", "done", "total"}` for what goes on, `{"refused"}` or `{"lacks"}` at a
bad end. Nested dictionaries are flattened with "."; values that are no tensors are kept as JSON in the metadata
entry "values"; a file that is one bare tensor calls it "tensor".
"""

import argparse
import contextlib
import ctypes
import json
import math
import os
import re
import resource
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from voiced.child.lifeline import bind_to_parent
from voiced.child.weight_files import check_file
from voiced.child.weight_values import Refused, WeightValues, short

if TYPE_CHECKING:
    import torch

_NAMESPACES = 0x10000000 | 0x40000000  # CLONE_NEWUSER | CLONE_NEWNET of linux/sched.h
_SLACK_BYTES = 2 << 30
"""Beyond twice the greatest file: allocator arenas and threads' stacks, which count where only space is reserved."""
_CHUNK_VALUES = 4 << 20
_TOLD_BYTES = 16 << 20
_MAX_LEAVES = 200_000
_MAX_DEPTH = 100
_MAX_GROWTH, _FREE_GROWTH_BYTES = 4, 64 << 20
"""Tied weights are written once for each name; what grows more is a trick with strides."""
_MAX_VALUES_BYTES = 1 << 20

# The names of safetensors' format; what torch has beyond them is no weight of ours.
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


class Leaves(NamedTuple):
    """What a torch file holds."""

    tensors: dict[str, "torch.Tensor"]
    values: dict[str, Any]


class Teller:
    """Tells the parent how far it is.

    Args:
        stream: The pipe; libraries that print get standard error.
        total: Bytes that will be read.
    """

    def __init__(self, stream: Any, total: int) -> None:
        self._stream = stream
        self._total = total
        self._done = self._told = 0
        self._what = ""
        self.name = ""

    def begin(self, what: str, name: str) -> None:
        """Begin a file."""
        self.name, self._what = name, f"{what} {name}"
        self._tell_progress()

    def move(self, count: int) -> None:
        """Be further by so many bytes."""
        self._done += count
        if self._done - self._told >= _TOLD_BYTES:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._told = self._done
        # Tied weights are written twice: more than was counted.
        self.tell({"what": self._what, "done": min(self._done, self._total), "total": self._total})

    def tell(self, fields: dict[str, object]) -> None:
        """Write a line."""
        self._stream.write(json.dumps(fields) + "\n")
        self._stream.flush()


# -- from torch's files ---------------------------------------------------------------------------------


def read_torch(file: Path) -> Leaves:
    """Return what a torch file holds, mapped where it can be.

    Raises:
        Refused: If it is not made of tensors and plain values.
        Exception: Whatever torch makes of a damaged file: a dozen kinds.
    """
    import torch

    is_archive = zipfile.is_zipfile(file)
    if is_archive:
        with zipfile.ZipFile(file) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise Refused("it is a compressed archive, which torch does not make")
    loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=is_archive)
    leaves = Leaves({}, {})
    _flatten(loaded if isinstance(loaded, Mapping | list | tuple) else {"tensor": loaded}, "", leaves, 0)
    if not leaves.tensors:
        raise Refused("it holds no tensor")
    return leaves


def _flatten(found: Any, prefix: str, leaves: Leaves, depth: int) -> None:
    if depth > _MAX_DEPTH or len(leaves.tensors) + len(leaves.values) > _MAX_LEAVES:
        raise Refused("it is nested too deep, or in itself")
    items = found.items() if isinstance(found, Mapping) else enumerate(found)
    for key, value in items:
        _keep(prefix + str(key), value, leaves, depth)


def _keep(name: str, value: Any, leaves: Leaves, depth: int) -> None:
    import torch

    if isinstance(value, Mapping) or (isinstance(value, list | tuple) and _has_tensors(value, depth)):
        _flatten(value, f"{name}.", leaves, depth + 1)
    elif name in leaves.tensors or name in leaves.values or name == "__metadata__":
        raise Refused(f"it holds {short(name)!r} twice")
    elif isinstance(value, torch.Tensor):
        leaves.tensors[name] = _plain(name, value)
    elif _is_value(value, depth):
        leaves.values[name] = value
    else:
        raise Refused(f"{short(name)!r} is a {type(value).__name__}, neither tensor nor plain value")


def _plain(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in _DTYPES or tensor.layout is not torch.strided or tensor.device.type != "cpu":
        raise Refused(
            f"{short(name)!r} is a tensor of kind {dtype}, {tensor.layout}, {tensor.device}: no weights"
        )
    return tensor.detach().resolve_conj().resolve_neg()


def _has_tensors(values: Any, depth: int) -> bool:
    import torch

    if depth > _MAX_DEPTH:
        raise Refused("it is nested too deep, or in itself")
    return any(
        isinstance(value, torch.Tensor | Mapping)
        or (isinstance(value, list | tuple) and _has_tensors(value, depth + 1))
        for value in values
    )


def _is_value(value: Any, depth: int) -> bool:
    if isinstance(value, list | tuple):
        return depth <= _MAX_DEPTH and all(_is_value(one, depth + 1) for one in value)
    return (
        value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    )


# -- to safetensors -------------------------------------------------------------------------------------


def write_safetensors(file: Path, leaves: Leaves, teller: Teller) -> None:
    """Write a safetensors file, a piece at a time, and look that its weights are numbers.

    Raises:
        Refused: If one is not.
        OSError: If it cannot be written.
    """
    # Widest values first: each tensor then lies where a mapped view of its type may begin.
    order = sorted(leaves.tensors, key=lambda name: (-leaves.tensors[name].element_size(), name))
    with file.open("xb") as target:
        target.write(_header(leaves, order))
        for name in order:
            flat = leaves.tensors[name].contiguous().reshape(-1)
            values = WeightValues(name, _kind(leaves, name))
            for data in _pieces(flat):
                values.look(data)
                target.write(data)
                teller.move(len(data))


def _header(leaves: Leaves, order: list[str]) -> bytes:
    metadata = {"format": "pt"}
    if leaves.values:
        metadata["values"] = json.dumps(leaves.values)
        if len(metadata["values"]) > _MAX_VALUES_BYTES:
            raise Refused("it holds over 1 MiB of values that are no tensors")
    fields: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in order:
        tensor = leaves.tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        fields[name] = {
            "dtype": _kind(leaves, name),
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    header = json.dumps(fields, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header


def _kind(leaves: Leaves, name: str) -> str:
    return _DTYPES[str(leaves.tensors[name].dtype).removeprefix("torch.")]


def _pieces(flat: "torch.Tensor") -> Iterator[bytes]:
    import torch

    for start in range(0, len(flat), _CHUNK_VALUES):
        yield flat[start : start + _CHUNK_VALUES].view(torch.uint8).numpy().tobytes()


# -- the program ----------------------------------------------------------------------------------------


def cut_off_network() -> None:
    """Leave the network where the system lets a user do so; weights have nothing to say to it."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).unshare(_NAMESPACES)


def limit_memory(greatest: int) -> None:
    """Limit what this process may take from now on.

    Args:
        greatest: Bytes of the greatest file: it is mapped, and one of its tensors may have to be copied.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open("/proc/self/statm", "rb") as file:
            space = int(file.read().split()[0]) * resource.getpagesize()
        limit = space + 2 * greatest + _SLACK_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def convert(source: Path, target: Path, names: list[str], teller: Teller) -> None:
    """Convert files, and look at all that are there then.

    Raises:
        Refused: At the first that is refused.
        Exception: Whatever a library makes of a damaged file.
    """
    made = set()
    for name in names:
        teller.begin("converting", name)
        leaves = read_torch(source / name)
        size = (source / name).stat().st_size
        grown = sum(one.numel() * one.element_size() for one in leaves.tensors.values())
        if grown > _MAX_GROWTH * size + _FREE_GROWTH_BYTES:
            raise Refused("its tensors are far greater than the file")
        file = (target / name).with_suffix(".safetensors")
        write_safetensors(file, leaves, teller)
        made.add(file)
    for file in sorted(target.rglob("*")):
        if file.is_file() and file not in made:
            teller.begin("checking", file.relative_to(target).as_posix())
            check_file(file, teller.move)


def reason_of(error: BaseException) -> str:
    """Return why torch or another library refused a file, in a line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    found = re.search(r"(?:Unsupported|unsupported) [^\n.]*(?:\.[^\n. ][^\n.]*)*", text)
    if found is not None:
        return f"it asks for more than weights ({short(found[0].strip())}); such a file can run commands"
    if isinstance(error, MemoryError | RecursionError):
        return f"it takes more than a file of its size may ({type(error).__name__})"
    lines = text.strip().splitlines() or [""]
    return short(f"{type(error).__name__}: {lines[0].split('. ')[0].rstrip('.')}")


def main() -> int:
    """Convert and look, and return the exit code: 0, or 1 where something was refused."""
    parser = argparse.ArgumentParser(prog="voiced.child.convert")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    cut_off_network()
    bind_to_parent(options.parent)
    stream = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    sources = [options.source / name for name in options.names]
    weights = [*options.target.rglob("*.safetensors"), *sources]
    sizes = [file.stat().st_size for file in weights]
    teller = Teller(stream, sum(sizes))
    try:
        # Looked for before the limit on memory. Torch takes a second, and only its own files need it.
        if weights:
            import numpy  # noqa: F401
            import safetensors  # noqa: F401
        if sources:
            import torch  # noqa: F401
    except ImportError as error:
        teller.tell({"lacks": str(error.name)})
        return 1
    limit_memory(max(sizes, default=0))
    try:
        convert(options.source, options.target, options.names, teller)
    except Refused as error:
        teller.tell({"refused": f"{teller.name}: {error}"})
    except Exception as error:  # noqa: BLE001 - the top of the process, and torch raises a dozen kinds
        teller.tell({"refused": f"{teller.name}: {reason_of(error)}"})
    else:
        return 0
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
