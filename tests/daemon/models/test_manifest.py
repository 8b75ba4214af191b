"""What a model's files were, and whether they still are."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.models.manifest import (
    FILES,
    MANIFEST,
    MAX_DEPTH,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Hashed,
    Manifest,
    changed,
    hash_files,
    read_manifest,
    verify,
    write_manifest,
)
from voiced_ipc.errors import ModelDamaged

CONTENTS = {"config.json": b"{}", "snac/model.safetensors": b"weights" * 100, "empty.txt": b""}


def hashed(files: Path) -> tuple[list[FileEntry], list[Hashed]]:
    hashing = hash_files(files)
    steps = []
    while True:
        try:
            steps.append(next(hashing))
        except StopIteration as end:
            entries: list[FileEntry] = end.value
            return entries, steps


def manifest_of(place: Path) -> Manifest:
    entries, _ = hashed(place / FILES)
    return Manifest(
        model="kokoro", source="import", revision="", licence="X", installed="2026-01-02", files=entries
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A model's folder, with its manifest."""
    place = tmp_path / "kokoro"
    for name, content in CONTENTS.items():
        file = place / FILES / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    write_manifest(place, manifest_of(place))
    return place


def test_every_file_is_hashed(place: Path) -> None:
    entries, steps = hashed(place / FILES)
    assert {entry.path: entry.sha256 for entry in entries} == {
        name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()
    }
    about = (place / FILES / "config.json").stat()
    assert (entries[0].path, entries[0].size, entries[0].mtime_ns, entries[0].inode) == (
        "config.json",
        2,
        about.st_mtime_ns,
        about.st_ino,
    )
    assert [step.done_bytes for step in steps] == [2, 702]


def test_a_manifest_is_read_as_it_was_written(place: Path) -> None:
    manifest = read_manifest(place)
    assert manifest == manifest_of(place)
    assert manifest.size_bytes == 702
    assert (place / MANIFEST).stat().st_mode & 0o777 == 0o600


def test_what_is_untouched_is_not_hashed_again(place: Path) -> None:
    manifest = read_manifest(place)
    assert changed(place / FILES, manifest) == []
    assert verify(place, manifest) is manifest
    file = place / FILES / "config.json"
    before = file.stat()
    file.write_bytes(b"[]")  # same size, in place, and its time set back: only a deep look can tell
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert verify(place, manifest) is manifest
    with pytest.raises(ModelDamaged, match=r"config\.json is not what was installed"):
        verify(place, manifest, deep=True)


def test_same_content_under_new_stats_is_fine_and_remembered(place: Path) -> None:
    manifest = read_manifest(place)
    file = place / FILES / "config.json"
    copy = file.with_suffix(".copy")
    copy.write_bytes(file.read_bytes())
    copy.rename(file)
    os.utime(place / FILES / "empty.txt", ns=(5, 5))
    assert changed(place / FILES, manifest) == ["config.json", "empty.txt"]
    renewed = verify(place, manifest)
    assert renewed == read_manifest(place)
    assert changed(place / FILES, renewed) == []
    assert [entry.sha256 for entry in renewed.files] == [entry.sha256 for entry in manifest.files]


def test_a_manifest_that_cannot_be_renewed_is_no_fault(place: Path) -> None:
    manifest = read_manifest(place)
    os.utime(place / FILES / "config.json", ns=(5, 5))
    (place / MANIFEST).unlink()
    (place / MANIFEST).mkdir()  # no file can take its name, not even root's
    assert changed(place / FILES, verify(place, manifest)) == []


def _touched(file: Path) -> None:
    file.write_bytes(b"[]")


def _grown(file: Path) -> None:
    file.write_bytes(b"{} ")


def _cut(file: Path) -> None:
    file.write_bytes(b"")


def _gone(file: Path) -> None:
    file.unlink()


def _linked(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def _piped(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [_touched, _grown, _cut, _gone, _linked, _piped, _a_folder])
def test_damage_is_told_with_file_and_remedy(place: Path, damage: Any) -> None:
    manifest = read_manifest(place)
    damage(place / FILES / "config.json")
    before = (place / MANIFEST).read_bytes()
    for deep in (False, True):
        with pytest.raises(ModelDamaged) as caught:
            verify(place, manifest, deep=deep)
        assert "config.json" in caught.value.message
        assert "install" in caught.value.message
    assert (place / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("name", ["evil.py", "snac/more.json", ".hidden"])
def test_a_file_too_many_is_refused(place: Path, name: str) -> None:
    manifest = read_manifest(place)
    (place / FILES / name).write_bytes(b"")
    with pytest.raises(ModelDamaged, match=r"not installed with it: remove"):
        verify(place, manifest)


def test_a_folder_that_is_gone(place: Path) -> None:
    manifest = read_manifest(place)
    (place / FILES).rename(place / "moved")
    with pytest.raises(ModelDamaged, match="cannot be read"):
        verify(place, manifest)


def test_folders_without_end_are_not_followed(place: Path) -> None:
    deep = place / FILES
    for _ in range(MAX_DEPTH + 1):
        deep /= "d"
    deep.mkdir(parents=True)
    with pytest.raises(ModelDamaged, match="too deep"):
        verify(place, read_manifest(place))


def test_a_file_that_grows_while_it_is_hashed(place: Path) -> None:
    file = place / FILES / "a"
    file.write_bytes(b"x" * (9 << 20))
    hashing = hash_files(place / FILES)
    next(hashing)
    with file.open("ab") as more:
        more.write(b"y")
    with pytest.raises(ModelDamaged, match="being changed"):
        list(hashing)


def _without(name: str) -> Any:
    return lambda fields: fields.pop(name)


def _with(**more: object) -> Any:
    return lambda fields: fields.update(more)


def _in_file(**more: object) -> Any:
    return lambda fields: fields["files"][0].update(more)


@pytest.mark.parametrize(
    "spoil",
    [
        _without("model"),
        _without("files"),
        _with(model=7),
        _with(files=[]),
        _with(files={}),
        _with(format=2),
        _in_file(path="/etc/passwd"),
        _in_file(path="../x"),
        _in_file(path="a/../../x"),
        _in_file(path="snac/model.safetensors"),
        _in_file(path=""),
        _in_file(path="."),
        _in_file(path="a//b"),
        _in_file(path="a\nb"),
        _in_file(path="a\\b"),
        _in_file(sha256="0" * 63),
        _in_file(sha256="Z" * 64),
        _in_file(size=-1),
        _in_file(size="2"),
        _in_file(mtime_ns=None),
    ],
)
def test_a_manifest_of_another_shape_is_damage(place: Path, spoil: Any) -> None:
    fields = json.loads((place / MANIFEST).read_bytes())
    spoil(fields)
    (place / MANIFEST).write_text(json.dumps(fields))
    with pytest.raises(ModelDamaged, match="the manifest of kokoro cannot be used"):
        read_manifest(place)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b" " * (MAX_MANIFEST_BYTES + 1)]
)
def test_what_is_no_manifest_is_damage(place: Path, data: bytes) -> None:
    (place / MANIFEST).write_bytes(data)
    with pytest.raises(ModelDamaged, match="voiced import kokoro FOLDER"):
        read_manifest(place)


def test_a_manifest_is_a_plain_file(place: Path) -> None:
    file = place / MANIFEST
    file.rename(place / "aside")
    with pytest.raises(ModelDamaged):
        read_manifest(place)
    file.symlink_to(place / "aside")
    with pytest.raises(ModelDamaged):
        read_manifest(place)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ModelDamaged):
        read_manifest(place)


def test_a_newer_manifest_may_know_more(place: Path) -> None:
    fields = json.loads((place / MANIFEST).read_bytes())
    (place / MANIFEST).write_text(json.dumps(fields | {"new": 1}))
    assert read_manifest(place) == manifest_of(place)


@given(data=st.binary(max_size=300), place=st.integers(0, 400), length=st.integers(0, 40))
def test_no_bytes_do_more_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("kokoro")
    entry = FileEntry(path="a", size=1, mtime_ns=2, inode=3, sha256="0" * 64)
    manifest = Manifest(model="m", source="", revision="", licence="", installed="", files=[entry])
    good = msgspec.json.encode(manifest)
    (folder / MANIFEST).write_bytes(good[:place] + data + good[place + length :])
    try:
        read = read_manifest(folder)
    except ModelDamaged:
        return
    assert all(not Path(one.path).is_absolute() and ".." not in Path(one.path).parts for one in read.files)
