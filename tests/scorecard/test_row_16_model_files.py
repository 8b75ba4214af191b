"""Row 16, model file attacks, 10,000 mutants of weights, configurations and manifests, and pickles with a command.

Target: 0 code runs, 0 crashes outside of the throw-away child, 100 % of the files that are not those installed are
refused before anything parses them.
"""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.daemon.models.published import (
    PIPER,
    environment,
    install,
    leftovers,
    make_kokoro,
    make_piper,
    spec_of,
)
from tests.scorecard.card import Card
from voiced.errors import LibraryError
from voiced.models.importing import import_folder
from voiced.models.library import Library
from voiced.models.manifest import MANIFEST
from voiced_ipc.errors import ModelDamaged

_BATCH = 500
"""Mutants for one child: its start costs seconds."""

_CHILD = """
import io, json, sys
from pathlib import Path
from voiced.child import convert as child
import torch, safetensors.torch
child.cut_off_network()
child.limit_memory(64 << 20)
source, target = Path(sys.argv[1]), Path(sys.argv[2])
for name in sys.argv[3:]:
    print(json.dumps([name, "begun"]), flush=True)
    place = target / name
    place.mkdir(parents=True)
    try:
        if name.endswith(".pth"):
            child.convert(source, place, [name], child.Teller(io.StringIO(), 1))
        else:
            (place / name).write_bytes((source / name).read_bytes())
            child.convert(source, place, [], child.Teller(io.StringIO(), 1))
    except Exception as error:
        print(json.dumps([name, "refused", child.reason_of(error)]), flush=True)
    else:
        print(json.dumps([name, "taken"]), flush=True)
"""


class Command:
    """A pickle that runs a command when it is loaded carelessly."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self._marker}",)


class Attack(NamedTuple):
    """A file to begin with, and the name that its mutants end with."""

    suffix: str
    data: bytes


def mutant(source: random.Random, data: bytes) -> bytes:
    """Return other bytes: some flipped, cut out, doubled, or made of what parsers are afraid of."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 8, 64))):
        at = source.randrange(len(changed) + 1)
        kind = source.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            changed[at : at + source.randrange(1, 40)] = b""
        elif kind == 2:
            changed[at:at] = changed[at : at + source.randrange(1, 40)]
        elif kind == 3:
            changed[at : at + 8] = source.choice((b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"[" * 64))
        elif kind == 4:
            changed[at : at + 1] = source.randbytes(source.randrange(1, 9))
        elif len(changed) > 16:
            del changed[source.randrange(16, len(changed)) :]
    return bytes(changed) if bytes(changed) != data else data + b"x"


def attacks(folder: Path, marker: Path) -> list[Attack]:
    """Good files, and pickles that run a command."""
    import torch
    from safetensors.torch import save

    torch.manual_seed(20)
    weights = {"net": {"w": torch.randn(20, 30), "b": torch.randn(30)}, "n": 3}
    made = []
    for value, more in (
        (weights, {}),
        (weights, {"_use_new_zipfile_serialization": False}),
        ({"w": torch.ones(3), "x": Command(marker)}, {}),
        ({"w": torch.ones(3), "x": Command(marker)}, {"_use_new_zipfile_serialization": False}),
    ):
        torch.save(value, folder / "made", **more)
        made.append(Attack(".pth", (folder / "made").read_bytes()))
    made.append(
        Attack(".safetensors", save({"w": torch.randn(20, 30), "v": torch.zeros(3)}, {"format": "pt"}))
    )
    made.append(
        Attack(".json", json.dumps({"model_type": "vits", "sizes": [1, 2, 3], "a": {"b": None}}).encode())
    )
    return made


def look_at(source: Path, target: Path, names: list[str]) -> Counter[str]:
    """Let children look at files; one that dies of a file goes on with the next."""
    outcomes: Counter[str] = Counter()
    while names:
        command = [sys.executable, "-P", "-c", _CHILD, str(source), str(target), *names]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        ends = [line for line in told if line[1] != "begun"]
        outcomes.update(line[1] for line in ends)
        assert told, f"the child ended with {done.returncode} before it began"
        if len(ends) == len(names):
            break
        outcomes["crashed in the child"] += 1
        names = names[len(ends) + 1 :]
    return outcomes


def test_weights_and_configurations(card: Card, tmp_path: Path) -> None:
    library = Library(tmp_path / "models")
    make_kokoro(tmp_path / "good")  # skips without torch
    marker = tmp_path / "it-ran"
    bases = attacks(tmp_path, marker)
    count = card.count(240, 4000)
    outcomes: Counter[str] = Counter()
    for first in range(0, count, _BATCH):
        source = tmp_path / f"source-{first}"
        source.mkdir()
        names = []
        for number in range(first, min(first + _BATCH, count)):
            base = bases[number % len(bases)]
            names.append(f"{number}{base.suffix}")
            (source / names[-1]).write_bytes(mutant(card.random, base.data))
        outcomes += look_at(source, tmp_path / f"target-{first}", names)
    unchanged = tmp_path / "unchanged"
    unchanged.mkdir()
    for number, base in enumerate(bases):
        (unchanged / f"{number}{base.suffix}").write_bytes(base.data)
    plain = look_at(unchanged, tmp_path / "target", sorted(path.name for path in unchanged.iterdir()))

    whole = 0
    for base in [
        *bases[2:4],
        *(Attack(".pth", mutant(card.random, bases[0].data)) for _ in range(card.count(2, 60))),
    ]:
        (tmp_path / "good" / "kokoro-v1_0.pth").write_bytes(base.data)
        try:
            install(library, "kokoro", tmp_path / "good")
            library.check("kokoro", deep=True)
            library.remove("kokoro")
        except LibraryError:
            whole += 1
        assert leftovers(library) == []
    card.tell(
        mutants=count,
        **{name.replace(" ", "_"): number for name, number in outcomes.items()},
        whole_imports_refused=whole,
        code_runs=int(marker.exists()),
    )
    assert not marker.exists()
    assert sum(outcomes.values()) == count
    assert plain == Counter(
        taken=4, refused=2
    )  # the good ones pass: the mutants are not refused for another reason
    assert whole >= 2


def test_installed_files_that_changed(card: Card, tmp_path: Path) -> None:
    library = Library(tmp_path / "models")
    installed, _ = install(library, PIPER, make_piper(tmp_path / "voice"))
    files = sorted(installed.folder.iterdir())
    count = card.count(300, 4000)
    refused = 0
    for number in range(count):
        file = files[number % len(files)]
        good = file.read_bytes()
        swap(card.random, file, mutant(card.random, good))
        with pytest.raises(ModelDamaged, match="is not what was installed"):
            library.check(PIPER, deep=number % 10 == 0)
        refused += 1
        swap(card.random, file, good)
        library.check(PIPER)  # the same bytes are the same file, whatever its times say
    card.tell(changed_files=count, refused_before_parsing=refused)
    assert refused == count


def swap(source: random.Random, file: Path, data: bytes) -> None:
    """Change a file in place, or put another in its place."""
    if source.random() < 0.5:
        before = file.stat().st_mtime_ns
        file.write_bytes(data)
        # Coarse clocks of older kernels stand still for milliseconds; a person is slower.
        os.utime(file, ns=(before + 1_000_000, before + 1_000_000))
    else:
        aside = file.parent.parent / "aside"
        aside.write_bytes(data)
        aside.replace(file)


def test_manifests(card: Card, tmp_path: Path) -> None:
    library = Library(tmp_path / "models")
    installed, _ = install(library, PIPER, make_piper(tmp_path / "voice"))
    place = installed.folder.parent
    good = (place / MANIFEST).read_bytes()
    count = card.count(500, 2000)
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        (place / MANIFEST).write_bytes(mutant(card.random, good))
        library.installed()
        library.damaged()
        try:
            checked = library.check(PIPER)
        except ModelDamaged:
            outcomes["refused"] += 1
        else:
            # Nothing but what was installed is ever given to an engine.
            assert checked.folder == installed.folder
            assert {entry.path for entry in checked.manifest.files} == {
                entry.path for entry in installed.manifest.files
            }
            outcomes["taken"] += 1
    (place / MANIFEST).write_bytes(good)
    assert library.check(PIPER, deep=True)
    card.tell(manifests=count, **outcomes)
    assert outcomes["refused"] > count // 2


def test_a_daemon_is_not_reached_by_any_of_it(tmp_path: Path) -> None:
    """The process that imports has parsed nothing: it has neither torch nor safetensors."""
    make_piper(tmp_path / "voice")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.daemon.models.published import PIPER, install\n"
        "from voiced.models.library import Library\n"
        "install(Library(Path(sys.argv[1])), PIPER, Path(sys.argv[2]))\n"
        "print(sorted({'torch', 'safetensors', 'pickle5', 'onnx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "models"), str(tmp_path / "voice")]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stdout == b"[]\n"
    assert Library(tmp_path / "models").check(PIPER, deep=True)
    with pytest.raises(LibraryError):
        list(
            import_folder(
                Library(tmp_path / "models"), spec_of(PIPER), bad(tmp_path), environment=environment()
            )
        )


def bad(folder: Path) -> Path:
    return make_piper(folder / "bad", onnx=b"")
