"""What a request leaves open is filled in from the settings."""

from typing import Any

import pytest

from voiced.config import Config
from voiced.drop.sidecar import RULES, Wishes
from voiced.jobs.resolve import (
    check_format,
    check_stream,
    resolve_speech,
    wished_request,
)
from voiced_ipc.errors import InvalidRequest
from voiced_ipc.messages import Chapters, Lane, Output, Subtitles, Synthesize

CONFIG = Config(model="espeak", voice="en-gb", speed=2.0, pitch=0.5, volume=0.5)


def request(**fields: object) -> Synthesize:
    return Synthesize(request_id="a" * 22, **fields)  # type: ignore[arg-type]


def test_an_empty_request_takes_the_settings() -> None:
    speech = resolve_speech(request(), CONFIG, seed=9)
    assert (speech.model, speech.voice, speech.seed) == ("espeak", "en-gb", 9)
    assert (speech.speed, speech.pitch, speech.volume) == (2.0, 0.5, 0.5)


@pytest.mark.parametrize("fields", [{"language": "fr"}, {"model": "tone"}])
def test_the_configured_voice_belongs_to_the_configured_model_and_language(fields: dict[str, str]) -> None:
    assert resolve_speech(request(**fields), CONFIG, 0).voice == ""


def test_what_is_asked_goes_before() -> None:
    speech = resolve_speech(request(voice="fr-fr", language="fr", seed=0, speed=0.5, device="cpu"), CONFIG, 9)
    assert (speech.voice, speech.seed, speech.speed, speech.device) == ("fr-fr", 0, 1.0, "cpu")


def test_formats() -> None:
    assert check_format("flac") == "flac"
    with pytest.raises(InvalidRequest, match="wav, flac"):
        check_format("mp7")


@pytest.mark.parametrize(
    "fields",
    [
        {"subtitles": Subtitles.VTT},
        {"chapters": Chapters.FOLDER},
        {"incoming": "x" * 20},
        {"sample_rate_hz": 8000},
    ],
)
def test_what_a_stream_cannot_have_is_refused_not_left_out(fields: dict[str, Any]) -> None:
    check_stream(request())
    with pytest.raises(InvalidRequest):
        check_stream(request(**fields))


def test_what_no_sidecar_says_is_left_open() -> None:
    asked = wished_request("a" * 22, Wishes(), CONFIG)
    assert asked == request(output=Output.FILE, lane=Lane.BATCH)
    assert resolve_speech(asked, CONFIG, seed=9).voice == "en-gb"


def test_what_sidecars_say_is_asked_for() -> None:
    wishes = Wishes(
        "kokoro", "anna", "de", "flac", 1.5, 0.5, 2.0, "normal", -19.0, "srt", "folder", "an old man", 7
    )
    asked = wished_request("a" * 22, wishes, CONFIG)
    assert asked == request(
        output=Output.FILE,
        model="kokoro",
        voice="anna",
        language="de",
        format="flac",
        speed=1.5,
        pitch=0.5,
        volume=2.0,
        lane=Lane.NORMAL,
        subtitles=Subtitles.SRT,
        chapters=Chapters.FOLDER,
        loudness_lufs=-19.0,
        description="an old man",
        seed=7,
    )
    assert asked.device == ""


@pytest.mark.parametrize("key", RULES)
def test_no_wish_is_left_out_in_silence(key: str) -> None:
    said = {"priority": "normal", "subtitles": "vtt", "chapters": "folder", "seed": 7, "description": "x"}
    number = key in ("speed", "pitch", "volume", "loudness")
    wishes = Wishes()._replace(**{key: 2.0 if number else said.get(key, "de")})  # type: ignore[arg-type]
    assert wished_request("a" * 22, wishes, CONFIG) != wished_request("a" * 22, Wishes(), CONFIG)
