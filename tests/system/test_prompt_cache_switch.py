"""Cloned voices while the model's size is switched: each size has prompts of its own, and never gets another's.

Both sizes of Qwen3-TTS, tiny, through the real package: the wrong prompt would fail with a mismatch of tensor sizes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import DaemonProcess, running_daemon, temporary_home
from tests.system.installed import build, import_model, link_overlay, without_faults
from tests.system.recordings import record
from voiced.models.prompt_file import read_facts
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.messages import new_id

SMALL, LARGE = "qwen3-tts:0.6b", "qwen3-tts:1.7b"
TEXT = "Hello there."

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with both sizes and two voices."""
    with temporary_home() as home:
        overlay = link_overlay(home, "qwen3-tts")
        for model in (SMALL, LARGE):
            folder = tmp_path_factory.mktemp("model") / "files"
            build("qwen3_tts", folder, "--size", model.partition(":")[2], "--kind", "base", overlay=overlay)
            import_model(home, model, without_faults(folder))
        # One thread for each model, whatever else is loaded: sums over several threads round in another way.
        with running_daemon(home, VOICED_THREADS="1", VOICED_KEEP_ALIVE_S="-1") as running:
            with running.client(60.0) as client:
                for name, hz in (("anna", 180.0), ("bob", 110.0)):
                    recording = record(home.root / f"{name}.wav", hz, seconds=3.0)
                    client.add_voice(name, [(recording, f"I am {name}.")], language="en")
            yield running


@pytest.fixture
def client(daemon: DaemonProcess) -> Iterator[Client]:
    """A client, and an empty cache."""
    with daemon.client(120.0) as made:
        made.clear_cache("prompts")
        yield made


class Counted:
    """What the prompt cache counted since the last look."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._last = self._now()

    def _now(self) -> m.CacheInfo:
        return next(cache for cache in self._client.cache_stats() if cache.cache == "prompts")

    def since(self) -> tuple[int, int, str]:
        """Hits, misses, and why the last miss was one."""
        last, self._last = self._last, self._now()
        misses = self._last.misses - last.misses
        return self._last.hits - last.hits, misses, self._last.last_miss if misses else ""


def speak(client: Client, model: str, voice: str = "anna") -> bytes:
    audio, accepted = client.synthesize(TEXT, model=model, voice=voice, language="en", seed=3)
    assert accepted.model == model
    assert audio
    return audio


def entries(daemon: DaemonProcess) -> list[tuple[str, str]]:
    """Model and voice of each file of the cache, as the file itself says."""
    facts = [read_facts(path) for path in daemon.home.paths.prompts.glob("*.prompt") if len(path.stem) == 64]
    return sorted((one.identity["model"], one.voice) for one in facts)


def test_fresh_cached_switched_and_back(daemon: DaemonProcess, client: Client) -> None:
    counted = Counted(client)
    large = speak(client, LARGE)
    assert counted.since()[:2] == (0, 1)
    assert entries(daemon) == [(LARGE, "anna")]
    assert speak(client, LARGE) == large
    assert counted.since() == (1, 0, "")
    small = speak(client, SMALL)
    assert counted.since()[:2] == (0, 1)
    assert entries(daemon) == [(SMALL, "anna"), (LARGE, "anna")]
    assert small != large
    assert speak(client, SMALL) == small
    assert counted.since() == (1, 0, "")
    assert speak(client, LARGE) == large
    assert counted.since() == (1, 0, "")
    log = daemon.log()
    for told in (
        f"miss: anna for {LARGE}",
        f"hit: anna for {LARGE}",
        f"miss: anna for {SMALL}",
        f"hit: anna for {SMALL}",
    ):
        assert f"prompt cache {told}" in log
    assert "size mismatch" not in log
    assert TEXT not in log


def test_rapid_switching(daemon: DaemonProcess, client: Client) -> None:
    counted = Counted(client)
    heard = [speak(client, model) for model in (LARGE, SMALL, LARGE, SMALL)]
    assert heard[:2] == heard[2:]
    assert counted.since()[:2] == (2, 2)
    assert len(entries(daemon)) == 2


def test_two_voices_and_two_sizes(daemon: DaemonProcess, client: Client) -> None:
    heard = {speak(client, model, voice) for model in (LARGE, SMALL) for voice in ("anna", "bob")}
    assert len(heard) == 4
    assert entries(daemon) == [(SMALL, "anna"), (SMALL, "bob"), (LARGE, "anna"), (LARGE, "bob")]


def test_why_the_other_size_missed(daemon: DaemonProcess, client: Client) -> None:
    speak(client, LARGE, "bob")
    counted = Counted(client)
    for entry in client.cache_entries("prompts"):
        assert (entry.model, entry.voice) == (LARGE, "bob")
    # Cleared keys are remembered as such; what was never there is explained by the other size.
    recording = record(daemon.home.root / "eve.wav", 140.0, seconds=3.0)
    client.add_voice("eve", [(recording, "")], replace=True)
    speak(client, LARGE, "eve")
    assert counted.since()[1:] == (1, "first use")
    speak(client, SMALL, "eve")
    assert counted.since()[1:] == (1, f"other model: {LARGE}")


def test_cleared_and_begun_again(daemon: DaemonProcess, client: Client) -> None:
    first = [speak(client, model) for model in (LARGE, SMALL)]
    client.clear_cache()
    assert entries(daemon) == []
    counted = Counted(client)
    assert [speak(client, model) for model in (LARGE, SMALL)] == first
    assert counted.since() == (0, 2, "cleared")
    assert len(entries(daemon)) == 2


def test_old_files_are_no_matter(daemon: DaemonProcess, client: Client) -> None:
    folder = daemon.home.paths.prompts
    old = [folder / "e945d48a7a466d509249990b5420a23a.prompt", folder / "6342f863679f4c2c557755e6df44aa3e.pt"]
    for path in old:
        path.write_bytes(b"\x80\x02}q\x00.")
    first = [speak(client, model) for model in (LARGE, SMALL)]
    assert [speak(client, model) for model in (LARGE, SMALL)] == first
    assert all(path.read_bytes() == b"\x80\x02}q\x00." for path in old)
    assert len(entries(daemon)) == 2


def test_a_prompt_of_the_other_size_under_its_name_is_made_anew(
    daemon: DaemonProcess, client: Client
) -> None:
    expected = [speak(client, model) for model in (LARGE, SMALL)]
    places = {read_facts(path).identity["model"]: path for path in daemon.home.paths.prompts.glob("*.prompt")}
    places[LARGE].write_bytes(places[SMALL].read_bytes())
    for model in (LARGE, SMALL):  # what lies in a worker's memory would hide it
        client.control(m.UnloadModel(request_id=new_id(), model=model))
    counted = Counted(client)
    assert [speak(client, model) for model in (LARGE, SMALL)] == expected
    assert counted.since() == (1, 1, f"other model: {SMALL}")
    assert read_facts(places[LARGE]).identity["model"] == LARGE


def test_entries_outlast_a_restart(daemon: DaemonProcess, client: Client) -> None:
    first = [speak(client, model) for model in (LARGE, SMALL)]
    names = sorted(path.name for path in daemon.home.paths.prompts.glob("*.prompt"))
    assert daemon.stop() == 0
    daemon.restart()
    with daemon.client(120.0) as again:
        assert [speak(again, model) for model in (LARGE, SMALL)] == first
        stats = again.cache_stats()[0]
        assert (stats.hits, stats.misses) == (2, 0)
    assert sorted(path.name for path in daemon.home.paths.prompts.glob("*.prompt")) == names
    assert all(Path(name).suffix == ".prompt" for name in names)
