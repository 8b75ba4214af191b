"""What a pull needs, before and beside the network: names, patterns, repositories, room on the disk."""

import hashlib
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.errors import LibraryError
from voiced.models import pulling
from voiced.models.catalogue import CATALOGUE, find_spec
from voiced.models.importing import MARGIN_BYTES, matches
from voiced.models.remote import Entry, Listing, RemoteFile, choose, missing, sources_of
from voiced.models.spec import HubSource, ModelSpec
from voiced_ipc.errors import InvalidRequest, StorageFailed

REPOSITORY = "owner/voice"
SOURCE = HubSource(REPOSITORY, ("config.json", "*.safetensors", "sub/*"))
COMMIT = "0123456789" * 4
SPEC = ModelSpec(
    model="mms:tst",
    engine="vits",
    licence="none",
    sample_rate_hz=16000,
    sources=(SOURCE,),
    files=("config.json", "*.safetensors"),
)

# -- room and plans -----------------------------------------------------------------------------------


def test_a_room_is_held_by_one(tmp_path: Path) -> None:
    with (
        pulling.room_for(tmp_path, "a"),
        pulling.room_for(tmp_path, "b"),
        pytest.raises(LibraryError, match="another `voiced pull`"),
        pulling.room_for(tmp_path, "a"),
    ):
        pass
    with pulling.room_for(tmp_path, "a") as room:
        assert room.folder.stat().st_mode & 0o777 == 0o700


def test_a_room_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(StorageFailed, match="cannot be made"), pulling.room_for(tmp_path / "models", "a"):
        pass


def _remote(path: str, size: int = 1, folder: str = "") -> RemoteFile:
    return RemoteFile(
        REPOSITORY, COMMIT, path, f"{folder}{path}", size, hashlib.sha256(path.encode()).hexdigest()
    )


def test_a_disk_without_room_is_told_before_anything_comes(tmp_path: Path) -> None:
    plan = pulling.Plan("m", REPOSITORY, COMMIT, (_remote("a.safetensors", 10**18),))
    with (
        pulling.room_for(tmp_path, "m") as room,
        pytest.raises(StorageFailed, match=r"needs 1000000000\.\d GB of free space.*VOICED_DATA_DIR"),
    ):
        pulling.check_space(plan, room)


def test_the_space_counts_conversion_and_what_is_here() -> None:
    plan = pulling.Plan("m", REPOSITORY, COMMIT, (_remote("a.pth", 1000), _remote("b.safetensors", 100)))
    assert pulling.needed_bytes(plan, 0) == 1000 + 100 + 1000 + MARGIN_BYTES
    assert pulling.needed_bytes(plan, 1050) == 50 + 1000 + MARGIN_BYTES


def test_a_repository_of_another_model_is_refused_before_anything_comes() -> None:
    listing = Listing(SOURCE, COMMIT, (_remote("config.json"),))
    with pytest.raises(LibraryError, match=r"has no \*\.safetensors.*nothing was fetched"):
        pulling.make_plan(SPEC, [listing])


def test_two_files_of_one_commit_are_two_models() -> None:
    spec = CATALOGUE["maya1:gguf"]
    plans = []
    for name in ("q4.gguf", "q8.gguf"):
        sources = sources_of(spec, "someone/maya", f"quants/{name}")
        codec = (_remote("config.json", folder="snac/"), _remote("pytorch_model.bin", folder="snac/"))
        entries = [Entry(f"quants/{other}", 1, "a" * 64) for other in ("q4.gguf", "q8.gguf")]
        own = choose(sources[0], COMMIT, entries)
        assert [file.target for file in own.files] == [name]
        plans.append(pulling.make_plan(spec, [own, Listing(sources[1], COMMIT, codec)]))
    assert plans[0].source == "someone/maya:quants/q4.gguf, hubertsiuzdak/snac_24khz"
    assert plans[0].source != plans[1].source
    assert plans[0].revision == f"{COMMIT}, {COMMIT}"


# -- which repositories -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["espeak", "tone"])
def test_what_comes_with_voiced_is_not_pulled(model: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing to pull"):
        sources_of(CATALOGUE[model])


@pytest.mark.parametrize(("repository", "file"), [("", ""), ("a/b", ""), ("", "x.gguf")])
def test_a_model_of_your_choice_must_be_named(repository: str, file: str) -> None:
    with pytest.raises(InvalidRequest, match="--repository OWNER/NAME --file"):
        sources_of(CATALOGUE["maya1:gguf"], repository, file)


def test_a_model_of_the_catalogue_has_its_own_repository() -> None:
    with pytest.raises(InvalidRequest, match="voiced import kokoro FOLDER"):
        sources_of(CATALOGUE["kokoro"], "a/b", "c")
    for spec in CATALOGUE.values():
        if not spec.is_embedded and spec.sources:
            assert sources_of(spec) == spec.sources


@pytest.mark.parametrize("name", ["a*.gguf", "a[1].gguf", "a?.gguf", "plain.gguf"])
def test_a_named_file_is_no_pattern(name: str) -> None:
    pattern = sources_of(CATALOGUE["maya1:gguf"], "a/b", name)[0].files[0]
    assert matches(pattern, name)
    assert not matches(pattern, "a1.gguf")


def test_every_model_needs_only_what_its_patterns_fetch() -> None:
    """The catalogue agrees with itself: what a model cannot do without is among what is fetched for it."""
    models = [*CATALOGUE.values(), find_spec("piper:en_US-lessac-medium"), find_spec("mms:eng")]
    for spec in models:
        assert spec is not None
        files = [
            _remote(pattern.replace("*", "x"), folder=f"{source.folder}/" if source.folder else "")
            for source in spec.sources
            for pattern in source.files
        ]
        if spec.sources:
            named = [
                file._replace(target=target)
                for file in files
                for target in (file.target, *_likely(file.target))
            ]
            assert missing(spec, named) == []


def _likely(target: str) -> list[str]:
    """Names that a pattern such as `*.json` stands for."""
    return {"x.json": ["config.json", "vocab.json", "generation_config.json", "tokenizer.json"]}.get(
        target, [f"{target}.safetensors"] if target.endswith("/x") else []
    )


@given(st.text(max_size=40), st.sampled_from(["*.json", "*/*", "*", "sub/*"]))
def test_whatever_is_listed_stays_inside(name: str, pattern: str) -> None:
    """A chosen file's target is a relative path of plain parts, or the listing is refused."""
    try:
        listing = choose(HubSource(REPOSITORY, (pattern,)), COMMIT, [Entry(name, 1, "a" * 40)])
    except LibraryError:
        return
    for file in listing.files:
        path = PurePosixPath(file.target)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert str(path) == file.target == name
        assert file.target.isprintable()


@pytest.mark.parametrize("commit", ["", "main", "0" * 39, "../" * 14])
def test_a_listing_without_a_commit_is_refused(commit: str) -> None:
    with pytest.raises(LibraryError, match="no commit"):
        choose(SOURCE, commit, [])
