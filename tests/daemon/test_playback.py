"""Playing: the right player, all of the sound, and silence at once."""

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.daemon.cli.players import Players, is_alive
from tests.support import need
from voiced.playback import (
    PROGRAMS,
    DeviceSink,
    FileSink,
    PipeSink,
    PlaybackFailed,
    Player,
    Program,
    find_sinks,
)

RATE = 8000
SECOND = bytes(range(250)) * (RATE * 2 // 250)


@pytest.fixture
def players(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Players:
    made = Players(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setattr("voiced.playback._has_package", lambda: False)
    return made


@pytest.mark.process
def test_all_of_the_sound_goes_to_the_best_player(players: Players) -> None:
    players.add("aplay")
    players.add("pw-play")
    with Player(RATE) as player:
        for start in range(0, len(SECOND), 1000):
            player.write(SECOND[start : start + 1000])
        player.finish()
    assert players.heard("pw-play") == SECOND
    assert players.heard("aplay") == b""
    assert f"--rate={RATE}" in players.arguments("pw-play")


@pytest.mark.process
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_player_is_told_the_rate_and_what_comes(players: Players, program: Program) -> None:
    players.add(program.name)
    with Player(RATE) as player:
        player.write(b"\x01\x00")
        player.finish()
    assert str(RATE) in " ".join(players.arguments(program.name))
    assert players.heard(program.name) == b"\x01\x00"


@pytest.mark.process
@pytest.mark.parametrize(
    "fails",
    [
        "echo 'Connection refused' >&2; exit 1",  # at once
        "/bin/cat > $0.heard; echo 'Connection refused' >&2; exit 1",  # when it has everything
        "/usr/bin/head -c 3000 > $0.heard; echo 'Connection refused' >&2; exit 1",  # on the way
        "/bin/cat > $0.heard; echo 'no such device' >&2",  # and calls that a success, as ffplay does
    ],
)
def test_a_player_that_cannot_is_replaced_and_nothing_is_lost(players: Players, fails: str) -> None:
    players.add("pw-play", fails)
    players.add("aplay")
    with Player(RATE) as player:
        for start in range(0, len(SECOND), 4000):
            player.write(SECOND[start : start + 4000])
        player.finish()
    assert players.heard("aplay") == SECOND


@pytest.mark.process
def test_when_none_can_play_each_reason_is_told(players: Players) -> None:
    players.add("pw-play", "echo 'no server' >&2; exit 1")
    players.add("aplay", "echo 'no card' >&2; exit 1")
    with pytest.raises(PlaybackFailed) as failed:
        _play(SECOND)
    for words in ("pw-play: no server", "aplay: no card", "-o FILE"):
        assert words in failed.value.message


def test_where_there_is_no_player(players: Players) -> None:
    with Player(RATE) as player, pytest.raises(PlaybackFailed, match=r"pw-play.*miniaudio.*-o FILE"):
        player.write(b"\0\0")


@pytest.mark.process
def test_a_player_that_dies_late_is_not_begun_again(players: Players) -> None:
    players.add("aplay", "/usr/bin/head -c 100000 > $0.heard; echo 'unplugged' >&2; exit 1")
    players.add("play")
    with pytest.raises(PlaybackFailed, match="unplugged"):
        _play(SECOND * 20)
    assert players.heard("play") == b""


@pytest.mark.process
def test_killing_does_not_wait_for_the_sound(players: Players) -> None:
    players.add("aplay", "exec /bin/sleep 600")
    player = Player(RATE)
    player.write(b"\0\0")
    _wait_for(lambda: players.is_started("aplay"))
    begun = time.monotonic()
    player.kill()
    assert time.monotonic() - begun < 5
    assert not is_alive(players.pid("aplay"))


@pytest.mark.process
def test_leaving_the_context_kills(players: Players) -> None:
    players.add("aplay", "exec /bin/sleep 600")
    with Player(RATE) as player:
        player.write(b"\0\0")
        _wait_for(lambda: players.is_started("aplay"))
    assert not is_alive(players.pid("aplay"))


def test_nothing_to_play_starts_no_player(players: Players) -> None:
    players.add("aplay")
    with Player(RATE) as player:
        player.finish()
    assert not (players.folder / "aplay.pid").exists()


@pytest.mark.process
def test_a_mac_plays_a_whole_file_when_nothing_better_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    players = Players(tmp_path / "bin")
    monkeypatch.setenv("PATH", players.path)
    players.add("afplay", '/bin/cp "$1" $0.heard')
    sink = FileSink(Program("afplay", ""), RATE)
    sink.write(SECOND)
    sink.write(SECOND)
    assert sink.finish() == ""
    sink.kill()
    import wave

    with wave.open(str(players.folder / "afplay.heard")) as sound:
        assert sound.getframerate() == RATE
        assert sound.readframes(10**6) == SECOND * 2


def test_the_order_of_choice() -> None:
    def names(present: set[str], platform: str) -> list[str]:
        sinks = find_sinks(lambda name: name if name in present else None, platform)
        return [sink.__name__ for sink in sinks]

    both = {"aplay", "afplay", "play", "pacat"}
    assert names(both, "linux")[:3] == names({"pacat", "aplay", "play"}, "linux")[:3]
    assert len(names(both, "darwin")) == len(names(both, "linux")) + 1


@pytest.mark.process
def test_a_program_that_cannot_be_started_is_passed_over(players: Players) -> None:
    players.add("aplay")
    (players.folder / "aplay").write_text("#!/no/such/interpreter\n")
    players.add("play")
    with Player(RATE) as player:
        player.write(SECOND)
        player.finish()
    assert players.heard("play") == SECOND


def test_the_package_plays_without_a_program() -> None:
    need("playback", find_spec("miniaudio") is not None, "the package miniaudio is not installed")
    with Player(RATE, [lambda rate: DeviceSink(rate, backends=["NULL"])]) as player:
        begun = time.monotonic()
        player.write(SECOND[: RATE // 2])
        player.finish()
        assert time.monotonic() - begun > 0.2  # a quarter of a second of sound took its time


@pytest.mark.process
def test_a_pipe_takes_all_even_in_pieces(players: Players) -> None:
    players.add("aplay", "/bin/sleep 0.1; exec /bin/cat > $0.heard")
    sink = PipeSink(Program("aplay", "-r {rate}"), RATE)
    sink.write(SECOND * 20)  # five times the pipe
    assert sink.finish() == ""
    sink.kill()
    assert players.heard("aplay") == SECOND * 20
    assert players.arguments("aplay") == ["-r", str(RATE)]


def _play(sound: bytes) -> None:
    with Player(RATE) as player:
        for start in range(0, len(sound), 4000):
            player.write(sound[start : start + 4000])
        player.finish()


def _wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        os.sched_yield()
