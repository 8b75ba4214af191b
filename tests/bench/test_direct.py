"""The programs that hold an engine alone speak what they are asked to, and say when they cannot."""

import pytest

from tests.bench.direct import direct
from tests.bench.processes import CommandFailed
from tests.daemon.engines.checkpoints import piper
from tests.overlays import overlay_of
from tests.support import Home
from tests.system.recordings import record

TEXT = "Ten letters in a text."


def test_an_engine_alone_tells_how_long_it_took_and_how_much_it_made(home: Home) -> None:
    with direct(home, "engine", "", "tone", "tone", str(home.root)) as engine:
        for times in (1, 2):
            told = engine.ask(text=TEXT * times, language="en", voice="tone-high", description="")
            assert told["audio_s"] == pytest.approx(len(TEXT) * times * 0.02)
            assert 0 < told["first_ms"] <= told["whole_ms"]


def test_a_recording_makes_the_voice(home: Home) -> None:
    recording = record(home.root / "recording.wav", seconds=2.0)
    with direct(home, "engine", "", "tone", "tone", str(home.root), str(recording)) as engine:
        assert engine.ask(text=TEXT, language="en", voice="", description="")["audio_s"] > 0


def test_an_engine_that_cannot_load_is_named_with_what_it_said(home: Home) -> None:
    with (
        pytest.raises(CommandFailed, match="is not there"),
        direct(home, "engine", "", "tone", "tone", str(home.root / "nowhere")),
    ):
        pass


def test_pipers_package_alone(home: Home) -> None:
    overlay = overlay_of("piper")
    graph = piper.build(home.root / "voice")
    with direct(home, "piper_voice", str(overlay), str(graph)) as voice:
        told = voice.ask(text="Hello world. And more.", times=3)
        assert 0 < told["first_ms"] < told["whole_ms"]
        assert told["per_s"] > 0
