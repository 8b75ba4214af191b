"""The hub's client against a real hub on this machine, whose faults the tests choose."""

import hashlib
import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon.models.hub_server import Fault, HubServer, entry, running_hub
from tests.support import need
from voiced.errors import LibraryError
from voiced.models import pulling
from voiced.models.remote import Listing, RemoteFile
from voiced.models.spec import HubSource, ModelSpec
from voiced_ipc.errors import InvalidRequest, StorageFailed

if TYPE_CHECKING:
    from voiced.models.hub import Hub

REPOSITORY = "owner/voice"
WEIGHTS = "model.safetensors"
FILES = {
    "config.json": b'{"a": 1}',
    WEIGHTS: bytes(range(256)) * 4096,
    "sub/empty.txt": b"",
    "sub/notes.txt": b"notes",
    "other.bin": b"not asked for",
}
SOURCE = HubSource(REPOSITORY, ("config.json", "*.safetensors", "sub/*"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    need(
        "engines", importlib.util.find_spec("huggingface_hub") is not None, "huggingface_hub is not installed"
    )
    from huggingface_hub import close_session, constants

    from voiced.models import hub

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_FIRST_WAIT_S", 0.01)
    close_session()  # one of another test's environment
    with running_hub({REPOSITORY: FILES}) as running:
        yield running
    close_session()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def hub(server: HubServer, said: list[str], monkeypatch: pytest.MonkeyPatch) -> "Hub":
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return _hub(server, said)


def _hub(server: HubServer, said: list[str], **more: Any) -> "Hub":
    from voiced.models.hub import Hub

    return Hub(server.url, **({"tries": 3} | more), say=said.append)


def _file(listing: Listing, target: str) -> RemoteFile:
    return next(file for file in listing.files if file.target == target)


# -- listings -----------------------------------------------------------------------------------------


def test_a_listing_has_the_commit_the_sizes_and_the_checksums(hub: "Hub", server: HubServer) -> None:
    listing = hub.listing(SOURCE)
    assert listing.commit == server.commit(REPOSITORY)
    assert [file.target for file in listing.files] == [
        "config.json",
        WEIGHTS,
        "sub/empty.txt",
        "sub/notes.txt",
    ]
    assert [file.size_bytes for file in listing.files] == [8, 1 << 20, 0, 5]
    assert _file(listing, WEIGHTS).digest == hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    assert len(_file(listing, "config.json").digest) == 40


def test_a_commit_may_be_named_and_is_what_is_fetched(hub: "Hub", server: HubServer) -> None:
    commit = server.commit(REPOSITORY)
    assert hub.listing(SOURCE, commit) == hub.listing(SOURCE, "main") == hub.listing(SOURCE)
    assert all(f"/{commit}" in asked.path for asked in server.asked if "/tree/" in asked.path)


def test_a_base_and_a_folder_change_the_place(hub: "Hub", server: HubServer) -> None:
    listing = hub.listing(HubSource(REPOSITORY, ("*.txt",), base="sub", folder="codec"))
    assert [file.target for file in listing.files] == ["codec/empty.txt", "codec/notes.txt"]
    assert [file.path for file in listing.files] == ["sub/empty.txt", "sub/notes.txt"]


def test_a_long_listing_comes_in_pages(hub: "Hub", server: HubServer) -> None:
    server.page_size = 2
    assert len(hub.listing(SOURCE).files) == 4


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/x.safetensors",
        "a/../b.safetensors",
        "a//b",
        "a\\b.safetensors",
        "a\nb",
        "./a",
        "x" * 256,
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(hub: "Hub", server: HubServer, name: str) -> None:
    server.extra_entries = [entry(name, b"evil")]
    with pytest.raises(LibraryError, match="not a safe name"):
        hub.listing(SOURCE)


def test_two_names_that_a_mac_cannot_tell_apart_are_refused(hub: "Hub", server: HubServer) -> None:
    server.extra_entries = [entry("MODEL.safetensors", b"twin")]
    with pytest.raises(LibraryError, match="holds both"):
        hub.listing(SOURCE)


@pytest.mark.parametrize("digest", ["", "zz" * 20, "../../../../etc/passwd", "0" * 63])
def test_a_file_without_a_checksum_is_refused(hub: "Hub", server: HubServer, digest: str) -> None:
    server.extra_entries = [
        entry("extra.safetensors", b"x") | {"lfs": {"oid": digest, "size": 1, "pointerSize": 1}}
    ]
    with pytest.raises(LibraryError, match="no checksum of extra"):
        hub.listing(SOURCE)


@pytest.mark.parametrize(
    ("source", "revision", "words"),
    [
        (SOURCE._replace(repository="owner/nothing"), "", "no open repository owner/nothing"),
        (SOURCE, "v9", "no such revision"),
        (SOURCE._replace(base="nowhere"), "", "no such file"),
    ],
)
def test_what_is_not_there_is_named(hub: "Hub", source: HubSource, revision: str, words: str) -> None:
    with pytest.raises(LibraryError, match=words):
        hub.listing(source, revision)


def test_a_closed_repository_says_how_to_open_it(
    server: HubServer, said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    server.gated.add(REPOSITORY)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(LibraryError, match=rf"licence: accept it on {server.url}/{REPOSITORY}.*HF_TOKEN"):
        _hub(server, said).listing(SOURCE)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert _hub(server, said).listing(SOURCE).files


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_told(hub: "Hub", server: HubServer, status: int) -> None:
    server.fail("api", Fault(status))
    with pytest.raises(LibraryError, match="HF_TOKEN"):
        hub.listing(SOURCE)


def test_a_busy_hub_is_asked_again(hub: "Hub", server: HubServer, said: list[str]) -> None:
    server.fail("api", Fault(500), Fault(429, {"Retry-After": "0"}))
    assert hub.listing(SOURCE).files
    assert said == ["the hub answers 500; trying again in 0.01 s", "the hub answers 429; trying again in 0 s"]


def test_a_hub_that_stays_busy_is_given_up(hub: "Hub", server: HubServer) -> None:
    server.fail("api", Fault(503), Fault(503), Fault(503))
    with pytest.raises(LibraryError, match=r"cannot be reached \(the hub answers 503\)"):
        hub.listing(SOURCE)


def test_a_hub_that_is_not_there_is_given_up(server: HubServer, said: list[str]) -> None:
    from voiced.models.hub import Hub

    with pytest.raises(LibraryError, match="check the network"):
        Hub("http://127.0.0.1:1", tries=2, say=said.append).listing(SOURCE)
    assert len(said) == 1


def test_a_hub_that_falls_silent_is_given_up(
    server: HubServer, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from voiced.models import hub

    monkeypatch.setattr(hub, "_TIMEOUT_S", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(LibraryError, match="cannot be reached"),
    ):
        hub.Hub(f"http://127.0.0.1:{mute.getsockname()[1]}", tries=2, say=said.append).listing(SOURCE)
    assert len(said) == 1


def test_nobody_else_is_asked(hub: "Hub", server: HubServer, tmp_path: Path) -> None:
    list(hub.fetch(_file(hub.listing(SOURCE), "config.json"), tmp_path / "part"))
    commit = server.commit(REPOSITORY)
    assert [asked.path for asked in server.asked] == [
        f"/api/models/{REPOSITORY}/revision/main",
        f"/api/models/{REPOSITORY}/tree/{commit}",
        f"/{REPOSITORY}/resolve/{commit}/config.json",
    ]


def test_what_is_no_hub_is_told(server: HubServer, said: list[str]) -> None:
    server.fail("api", Fault(200))
    with pytest.raises(LibraryError, match="does not answer as a hub does"):
        _hub(server, said).listing(SOURCE)


@pytest.mark.parametrize("endpoint", ["ftp://host", "huggingface.co", "file:///etc", "https://"])
def test_an_endpoint_must_be_an_address(server: HubServer, endpoint: str) -> None:
    from voiced.models.hub import Hub

    with pytest.raises(InvalidRequest, match="https://HOST"):
        Hub(endpoint)


@pytest.mark.parametrize("name", ["a/b/c", "../x", "a b/c", "a/..", "a/b--c", "alone", "é/x", ""])
def test_a_repository_must_be_a_name(hub: "Hub", name: str) -> None:
    with pytest.raises(InvalidRequest, match="OWNER/NAME"):
        hub.listing(SOURCE._replace(repository=name))


def test_offline_is_respected(hub: "Hub", server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LibraryError, match="HF_HUB_OFFLINE"):
        hub.listing(SOURCE)
    assert server.asked == []


# -- files --------------------------------------------------------------------------------------------


@pytest.fixture
def weights(hub: "Hub") -> RemoteFile:
    return _file(hub.listing(SOURCE), WEIGHTS)


def test_a_file_comes_whole(hub: "Hub", weights: RemoteFile, tmp_path: Path) -> None:
    steps = list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == FILES[WEIGHTS]
    assert steps == sorted(steps)
    assert steps[-1] == weights.size_bytes
    assert (tmp_path / "part").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("target", ["config.json", "sub/empty.txt"])
def test_a_small_file_has_gits_checksum(hub: "Hub", tmp_path: Path, target: str) -> None:
    list(hub.fetch(_file(hub.listing(SOURCE), target), tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == FILES[target]


def test_the_token_stays_with_the_hub(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    list(hub.fetch(weights, tmp_path / "part"))
    carried = {
        asked.host.partition(":")[0]: asked.authorization for asked in server.asked if WEIGHTS in asked.path
    }
    assert carried == {"127.0.0.1": "Bearer hf_secret", "localhost": ""}


def test_a_cut_connection_goes_on_where_it_ended(
    hub: "Hub", server: HubServer, weights: RemoteFile, said: list[str], tmp_path: Path
) -> None:
    server.fail(WEIGHTS, Fault(cut_after=300_000), Fault(cut_after=200_000))
    list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == FILES[WEIGHTS]
    assert server.sent[WEIGHTS] == weights.size_bytes
    assert len(said) == 2


def test_progress_renews_the_patience(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    server.fail(WEIGHTS, *[Fault(cut_after=100_000)] * 8)  # more than there are tries
    list(hub.fetch(weights, tmp_path / "part"))
    assert server.sent[WEIGHTS] == weights.size_bytes


def test_what_was_given_up_is_kept_and_goes_on(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    server.fail(WEIGHTS, Fault(cut_after=300_000), *[Fault(500)] * 3)
    with pytest.raises(LibraryError, match="is kept, and the same `voiced pull` tries again"):
        list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "part").stat().st_size == 300_000
    list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == FILES[WEIGHTS]
    assert server.sent[WEIGHTS] == weights.size_bytes
    assert "bytes=300000-" in {asked.range for asked in server.asked}


def test_a_file_that_is_here_is_checked_and_not_fetched(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(FILES[WEIGHTS])
    list(hub.fetch(weights, tmp_path / "part"))
    assert server.sent[WEIGHTS] == 0


def test_a_server_without_ranges_sends_it_all(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(FILES[WEIGHTS][:1000])
    server.fail(WEIGHTS, Fault(ignores_range=True))
    list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == FILES[WEIGHTS]


def test_another_part_than_asked_for_is_not_taken(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(FILES[WEIGHTS][:1000])
    server.fail(WEIGHTS, Fault(other_range=True))
    list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == FILES[WEIGHTS]


@pytest.mark.parametrize(
    "wrong", [b"\0" * len(FILES[WEIGHTS]), FILES[WEIGHTS] + b"more"], ids=["other bytes", "more bytes"]
)
def test_a_wrong_checksum_is_refused_and_deleted(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path, wrong: bytes
) -> None:
    server.fail(WEIGHTS, Fault(wrong=wrong))
    with pytest.raises(LibraryError, match=rf"{WEIGHTS} of {REPOSITORY} does not have the checksum"):
        list(hub.fetch(weights, tmp_path / "part"))
    assert not (tmp_path / "part").exists()


def test_a_part_that_was_changed_is_refused_and_deleted(
    hub: "Hub", weights: RemoteFile, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(b"x" + FILES[WEIGHTS][1:1000])
    with pytest.raises(LibraryError, match="checksum"):
        list(hub.fetch(weights, tmp_path / "part"))
    assert not (tmp_path / "part").exists()


def test_too_little_is_a_broken_connection(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    server.fail(WEIGHTS, Fault(wrong=FILES[WEIGHTS][:5000]))
    list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == FILES[WEIGHTS]


def test_a_file_that_is_gone_is_told(
    hub: "Hub", server: HubServer, weights: RemoteFile, tmp_path: Path
) -> None:
    del server.repositories[REPOSITORY][WEIGHTS]
    with pytest.raises(LibraryError, match="no such file"):
        list(hub.fetch(weights, tmp_path / "part"))


def test_a_link_in_the_parts_place_is_not_followed(hub: "Hub", weights: RemoteFile, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "part").symlink_to(tmp_path / "target")
    with pytest.raises(StorageFailed):
        list(hub.fetch(weights, tmp_path / "part"))
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_a_place_that_cannot_be_written_is_told(hub: "Hub", weights: RemoteFile) -> None:
    with pytest.raises(StorageFailed, match="cannot be written"):
        list(hub.fetch(weights, Path("/proc/part")))


# -- the whole plan -----------------------------------------------------------------------------------

SPEC = ModelSpec(
    model="mms:tst",
    engine="vits",
    licence="none",
    sample_rate_hz=16000,
    sources=(SOURCE,),
    files=("config.json", "*.safetensors"),
)


def test_a_plan_is_fetched_and_staged(hub: "Hub", tmp_path: Path) -> None:
    plan = pulling.make_plan(SPEC, [hub.listing(SOURCE)])
    with pulling.room_for(tmp_path / "models", "mms--tst") as room:
        stale = room.parts / "of another revision"
        stale.write_bytes(b"x")
        steps = list(pulling.fetch(hub, plan, room))
        assert steps[-1].done_bytes == plan.total_bytes == room.kept_bytes(plan)
        staged = pulling.staged(plan, room)
        found = {
            str(path.relative_to(staged)): path.read_bytes() for path in staged.rglob("*") if path.is_file()
        }
        assert found == {name: data for name, data in FILES.items() if name != "other.bin"}
        assert not stale.exists()
        (staged / WEIGHTS).unlink()  # as a conversion does: what was fetched stays
        assert room.kept_bytes(plan) == plan.total_bytes
        assert (pulling.staged(plan, room) / WEIGHTS).is_file()
        room.clear()
    assert list((tmp_path / "models" / ".pulling").iterdir()) == [tmp_path / "models/.pulling/mms--tst.lock"]
