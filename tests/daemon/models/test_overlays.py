"""Overlays: what is read of them, and when they do not fit."""

import ast
import hashlib
import importlib.util
import json
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.models.overlay_box import HERE, Box
from voiced.child.worker import ENGINES
from voiced.models.catalogue import CATALOGUE, find_spec
from voiced.models.overlay import (
    FAMILIES,
    LOCKS,
    MANIFEST,
    Here,
    Manifest,
    Overlays,
    here,
    is_counted,
    measure,
    mismatch,
    models_of,
)
from voiced.models.overlay_lock import Pin, normal_name, parse_lock
from voiced_ipc.errors import EngineLoadFailed

HASH = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def made_for(found: Here, lock: str = "l", family: str = "f") -> Manifest:
    return Manifest(
        family=family,
        python=found.python,
        torch=found.torch,
        platform=found.platform,
        lock_sha256=lock,
        files=1,
        bytes=2,
        packages=(),
        installed="2026-01-01T00:00:00+00:00",
    )


# -- families -----------------------------------------------------------------------------------------------


def test_every_model_of_the_catalogue_finds_its_family() -> None:
    named = [spec for spec in CATALOGUE.values() if spec.family]
    examples = (find_spec("piper:en_US-lessac-medium"), find_spec("mms:eng"))
    for spec in [*named, *(spec for spec in examples if spec is not None)]:
        known = FAMILIES[spec.family or spec.engine]
        assert known.is_main == (not spec.family)
        assert known.adapter.startswith("voiced.engines.")
        assert spec.engine in ENGINES


def test_every_family_serves_models() -> None:
    for family in FAMILIES:
        assert models_of(family), family
    assert models_of("qwen3-tts")[:2] == ("qwen3-tts:0.6b", "qwen3-tts:1.7b")
    assert models_of("piper") == ("piper:<voice>",)
    assert models_of("maya1") == ("maya1",)


def test_every_adapter_is_there() -> None:
    for known in FAMILIES.values():
        module, _, function = known.adapter.partition(":")
        spec = importlib.util.find_spec(module)
        assert spec is not None, known.adapter
        assert spec.origin is not None
        names = {
            node.name
            for node in ast.parse(Path(spec.origin).read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        assert not function or function in names, known.adapter


def test_what_compiles_is_in_its_lock() -> None:
    for family, known in FAMILIES.items():
        if known.compiled:
            names = {pin.name for pin in parse_lock((LOCKS / f"{family}.lock").read_text())}
            assert set(known.compiled) <= names


def test_sizes_are_right_while_pip_moves_files(tmp_path: Path) -> None:
    (tmp_path / "stays").write_text("12345")
    stop = threading.Event()

    def move() -> None:
        while not stop.is_set():
            for name in range(50):
                (tmp_path / f"{name}.x").write_text("")
            for name in range(50):
                (tmp_path / f"{name}.x").unlink()

    mover = threading.Thread(target=move)
    mover.start()
    try:
        assert all(measure(tmp_path)[1] == 5 for _ in range(200))
    finally:
        stop.set()
        mover.join()


# -- locks ----------------------------------------------------------------------------------------------------


def test_a_lock_is_read() -> None:
    text = (
        f"# made by uv\nA_b==1.0 \\\n    --hash=sha256:{HASH} \\\n    --hash=sha256:{HASH}\n\n"
        f"c.d==2.0+cpu ; python_full_version >= '3.12' and sys_platform == 'linux' \\\n    --hash=sha256:{HASH}\n"
    )
    assert parse_lock(text) == (
        Pin("a-b", "1.0", "", (HASH, HASH)),
        Pin("c-d", "2.0+cpu", "python_full_version >= '3.12' and sys_platform == 'linux'", (HASH,)),
    )


@pytest.mark.parametrize(
    "line",
    [
        "toy",
        "toy==1.0",
        f"toy>=1.0 --hash=sha256:{HASH}",
        "toy==1.0 --hash=md5:abc",
        f"toy==1.0 --hash=sha256:{HASH[:-1]}",
        "--index-url https://example.org/simple",
        "--extra-index-url https://example.org/simple",
        "-r other.lock",
        "-e .",
        f"toy @ https://example.org/toy.whl --hash=sha256:{HASH}",
        "toy @ file:///toy.whl",
        f"toy==1.0 --hash=sha256:{HASH} --no-binary toy",
    ],
)
def test_a_line_that_is_no_pinned_package_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a package with version and hashes"):
        parse_lock(f"good==1.0 --hash=sha256:{HASH}\n{line}\n")


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True),
            st.from_regex(r"[0-9]\.[0-9]{1,3}(\.post[0-9])?", fullmatch=True),
            st.lists(st.binary(max_size=4), min_size=1, max_size=3),
        ),
        max_size=5,
    )
)
def test_what_was_written_is_read(entries: list[tuple[str, str, list[bytes]]]) -> None:
    hashed = [
        (name, version, [hashlib.sha256(data).hexdigest() for data in files])
        for name, version, files in entries
    ]
    text = "".join(
        " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in digests)]) + "\n"
        for name, version, digests in hashed
    )
    assert [(pin.name, pin.version, list(pin.hashes)) for pin in parse_lock(text)] == [
        (normal_name(name), version, digests) for name, version, digests in hashed
    ]


# -- fit ------------------------------------------------------------------------------------------------------

words = st.sampled_from(["a", "b"])


@given(
    st.builds(Here, words, words, words), st.builds(Here, words, words, words), words, words, st.booleans()
)
def test_an_overlay_fits_where_all_that_matters_is_the_same(
    made: Here, found: Here, old: str, new: str, needs_torch: bool
) -> None:
    said = mismatch("f", made_for(made, old), found, new, needs_torch=needs_torch)
    same = made == found if needs_torch else made._replace(torch="") == found._replace(torch="")
    assert bool(said) == (not same or old != new)
    assert not said or "`voiced engine install f --force`" in said


def test_the_words_of_a_mismatch() -> None:
    old = made_for(Here("3.10", "2.12", "linux-x86_64"))
    with_torch = mismatch("f", old, HERE, "l", needs_torch=True)
    assert "made for Python 3.10 and torch 2.12, here are 3.11 and 2.13" in with_torch
    without = mismatch("f", old, HERE, "l", needs_torch=False)
    assert "made for Python 3.10, here is 3.11" in without
    assert "torch" not in without
    arm = made_for(HERE._replace(platform="linux-aarch64"))
    assert "made for linux-aarch64, here is linux-x86_64" in mismatch("f", arm, HERE, "l", needs_torch=True)
    assert "holds the packages of g" in mismatch("f", made_for(HERE, family="g"), HERE, "l", needs_torch=True)


def test_here_is_what_the_interpreter_is() -> None:
    import platform
    import sys

    found = here()
    assert found.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert platform.machine() in found.platform


@pytest.mark.process
def test_looking_imports_neither_torch_nor_pip(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, pathlib; from voiced.models.overlay import Overlays;"
        f"Overlays(pathlib.Path({str(tmp_path)!r})).list();"
        "print({'torch', 'pip', 'numpy', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- the folder -------------------------------------------------------------------------------------------------


def write_overlay(box: Box, family: str = "f", **fields: object) -> Path:
    place = box.folder / family
    (place / "toy").mkdir(parents=True)
    (place / "toy" / "__init__.py").write_text("12")
    facts = made_for(HERE, hashlib.sha256(box.overlays.lock(family).read_bytes()).hexdigest(), family)
    changed = json.loads(msgspec.json.encode(facts)) | fields
    (place / MANIFEST).write_text(json.dumps(changed))
    return place


def test_an_overlay_that_fits_has_a_path(box: Box) -> None:
    box.family("f", box.toy())
    place = write_overlay(box)
    assert box.overlays.path("f") == place
    info = box.overlays.info("f")
    assert (info.is_installed, info.is_ready, info.problem) == (True, True, "")


def test_what_python_compiles_does_not_count(box: Box) -> None:
    box.family("f", box.toy())
    place = write_overlay(box)
    (place / "toy" / "__pycache__").mkdir()
    (place / "toy" / "__pycache__" / "x.pyc").write_bytes(b"x" * 100)
    info = box.overlays.info("f")
    assert info.is_ready
    assert info.disk_bytes > 100
    assert is_counted(Path("toy/x.py"))
    assert not is_counted(Path("toy/__pycache__/x.pyc"))


def test_files_that_were_changed_are_told(box: Box) -> None:
    box.family("f", box.toy())
    place = write_overlay(box)
    (place / "toy" / "__init__.py").unlink()
    info = box.overlays.info("f")
    assert not info.is_ready
    assert "were changed: 0 files with 0 bytes, installed were 1 with 2" in info.problem
    assert "`voiced engine install f --force`" in info.problem


def test_what_is_not_installed_names_the_command(box: Box) -> None:
    box.family("f", box.toy())
    with pytest.raises(EngineLoadFailed, match="`voiced engine install f`"):
        box.overlays.path("f")
    info = box.overlays.info("f")
    assert (info.is_installed, info.is_ready, info.disk_bytes) == (False, False, 0)


def test_a_family_that_nobody_knows(box: Box) -> None:
    with pytest.raises(EngineLoadFailed, match="'g': `voiced engine list`"):
        box.overlays.path("g")


def test_a_lock_that_is_newer_than_the_overlay(box: Box) -> None:
    box.family("f", box.toy())
    write_overlay(box)
    box.lock("f", box.toy("1.1"))
    with pytest.raises(EngineLoadFailed, match="not those that this version of voiced asks for"):
        box.overlays.path("f")


def test_torch_that_is_missing(box: Box) -> None:
    box.family("f", box.toy())
    write_overlay(box)
    box.here = HERE._replace(torch="")
    with pytest.raises(EngineLoadFailed, match=r"f needs torch: `pip install 'voiced\[models\]'` brings it"):
        box.overlays.path("f")
    box.family("f", box.toy(), needs_torch=False)
    assert box.overlays.path("f") == box.folder / "f"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"\xff\xfe", b'{"family": "f"}', b"[" * 100_000, b'{"family": 1}']
)
def test_a_manifest_that_cannot_be_read_is_none(box: Box, content: bytes) -> None:
    box.family("f", box.toy())
    place = write_overlay(box)
    (place / MANIFEST).write_bytes(content)
    assert box.overlays.manifest("f") is None
    with pytest.raises(EngineLoadFailed, match="not installed"):
        box.overlays.path("f")


def test_a_field_of_a_later_version_is_passed_over(box: Box) -> None:
    box.family("f", box.toy())
    write_overlay(box, later="x")
    assert box.overlays.path("f")


def test_families_of_the_main_environment_have_no_folder(tmp_path: Path) -> None:
    overlays = Overlays(tmp_path)
    for family in ("vits", "maya1"):
        info = overlays.info(family)
        assert info.is_main
        assert info.is_ready == info.is_installed == (not info.problem)
        if info.is_ready:
            assert overlays.path(family) is None
        else:
            with pytest.raises(EngineLoadFailed, match=r"pip install 'voiced\[models\]'"):
                overlays.path(family)


def test_the_list_has_every_family(tmp_path: Path) -> None:
    assert [info.family for info in Overlays(tmp_path / "none").list()] == list(FAMILIES)


@pytest.mark.parametrize(
    ("platform", "can"), [("macosx-14.0-arm64", True), ("linux-x86_64", False), ("macosx-13.0-x86_64", False)]
)
def test_a_family_for_one_platform(tmp_path: Path, platform: str, can: bool) -> None:
    there = here()._replace(platform=platform)
    overlays = Overlays(tmp_path, look=lambda: there)
    assert FAMILIES["qwen3-mlx"].runs_on(platform) is can
    assert ("Apple" in overlays.problem("qwen3-mlx")) is not can
    assert FAMILIES["piper"].runs_on(platform)
