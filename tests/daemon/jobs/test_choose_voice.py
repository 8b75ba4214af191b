"""Whose voice it is: a model's own, an added one, a described one, or none; and what is said where that cannot be."""

from pathlib import Path
from typing import Any

import pytest

from voiced.jobs.abilities import Abilities, VoiceRow, abilities_of
from voiced.jobs.choose_voice import check_language, choose_voice, find_voice
from voiced.jobs.job import Speech, dump_order, load_order
from voiced.models.voices import Recording, Voice
from voiced_ipc.errors import InvalidRequest, UnknownLanguage, UnknownVoice

OWN = (VoiceRow("serena", "Serena", ("en",)),)
VOICES = [
    VoiceRow("en-gb", "English (GB)", ("en-gb", "en")),
    VoiceRow("en-us", "English (US)", ("en-us", "en")),
    VoiceRow("fr-fr", "French", ("fr-fr", "fr")),
    VoiceRow("mute", "No language", ()),
]
SPEAKERS = Abilities(OWN)
CLONES = Abilities(identities=("prompt",), languages=("en", "de"), reference_s=(3.0, 60.0), can_blend=True)
DESCRIBED = Abilities(identities=("description",))
BOTH = Abilities(OWN, identities=("speaker", "prompt"))


def recording(seconds: float = 12.0) -> Recording:
    return Recording("ref-1.wav", "a" * 64, seconds, 24000)


ANNA = Voice("anna", Path(), (recording(),))
CAPTAIN = Voice("captain", Path(), description="An old man.")


def choose(can: Abilities, added: Voice | None = None, *, is_seeded: bool = False, **fields: Any) -> Any:
    speech = Speech("some-model", added.voice if added else "", seed=7)._replace(**fields)
    return choose_voice(speech, can, added, is_seeded=is_seeded)


class TestAdded:
    def test_recordings_speak_through_a_model_that_clones(self) -> None:
        for can in (CLONES, BOTH):
            speech, own, notes = choose(can, ANNA)
            assert (speech.voice, speech.voice_digest, speech.seed) == ("anna", ANNA.digest, 7)
            assert (own, notes) == (None, ())

    def test_words_speak_through_a_model_that_heeds_them_and_keep_their_seed(self) -> None:
        speech, _, _ = choose(DESCRIBED, CAPTAIN)
        assert (speech.voice, speech.description, speech.voice_digest) == (
            "captain",
            "An old man.",
            CAPTAIN.digest,
        )
        assert speech.seed == choose(DESCRIBED, CAPTAIN, seed=8)[0].seed != 7
        assert choose(DESCRIBED, CAPTAIN, seed=8, is_seeded=True)[0].seed == 8

    def test_a_voice_with_both_is_what_the_model_can_use(self) -> None:
        both = ANNA._replace(description="A calm voice.")
        assert choose(CLONES, both)[0].description == ""
        assert choose(DESCRIBED, both)[0].description == "A calm voice."

    @pytest.mark.parametrize(
        ("can", "voice", "named"),
        [(SPEAKERS, ANNA, "qwen3-tts"), (DESCRIBED, ANNA, "chatterbox"), (CLONES, CAPTAIN, "maya1")],
    )
    def test_a_model_that_cannot_names_those_that_can(self, can: Abilities, voice: Voice, named: str) -> None:
        with pytest.raises(InvalidRequest, match=named):
            choose(can, voice)

    def test_a_description_beside_a_described_voice(self) -> None:
        with pytest.raises(InvalidRequest, match="one of the two"):
            choose(DESCRIBED, CAPTAIN, description="A young woman.")

    @pytest.mark.parametrize("seconds", [2.0, 60.5])
    def test_length_limits_of_the_model(self, seconds: float) -> None:
        with pytest.raises(InvalidRequest, match="from 3 to 60 s"):
            choose(CLONES, ANNA._replace(recordings=(recording(seconds),)))

    def test_a_model_that_takes_one_recording_says_so(self) -> None:
        two = ANNA._replace(recordings=(recording(), recording(1.0)))
        alone = CLONES._replace(can_blend=False)
        (note,) = choose(alone, two)[2]
        assert "the first of 2" in note
        with pytest.raises(InvalidRequest):
            choose(CLONES, two)


class TestOwn:
    def test_a_model_s_own_goes_first(self) -> None:
        speech, own, _ = choose(BOTH, ANNA._replace(voice="serena"))
        assert (speech.voice, speech.voice_digest, own) == ("serena", "", OWN[0])

    def test_a_language_names_the_own_voice_unless_a_voice_was_added_under_it(self) -> None:
        assert choose(BOTH, voice="en")[1] == OWN[0]
        assert choose(BOTH, ANNA._replace(voice="en"))[0].voice_digest == ANNA.digest

    @pytest.mark.parametrize("can", [SPEAKERS, BOTH])
    def test_unknown(self, can: Abilities) -> None:
        with pytest.raises(UnknownVoice, match="did you mean serena"):
            choose(can, voice="selena")

    def test_unknown_where_only_recordings_speak(self) -> None:
        with pytest.raises(UnknownVoice, match="voiced voice add"):
            choose(CLONES, voice="selena")


class TestNone:
    def test_a_model_of_recordings_wants_one(self) -> None:
        with pytest.raises(InvalidRequest, match="voiced voice add"):
            choose(CLONES)

    @pytest.mark.parametrize("can", [SPEAKERS, BOTH, DESCRIBED])
    def test_others_go_without(self, can: Abilities) -> None:
        assert choose(can)[0].voice_digest == ""

    def test_a_description_is_passed_on(self) -> None:
        assert choose(DESCRIBED, description="Calm.")[0].description == "Calm."


class TestAbilities:
    def test_as_a_worker_tells(self) -> None:
        ready = {
            "voices": [{"voice": "serena", "name": "Serena", "languages": ["en"], "gender": "female"}],
            "languages": ["en", "de"],
            "identities": ["speaker", "prompt"],
            "reference_s": [3, 60],
            "can_blend": True,
        }
        can = abilities_of(ready)
        assert can.voices == (VoiceRow("serena", "Serena", ("en",), "female"),)
        assert (can.languages, can.identities) == (("en", "de"), ("speaker", "prompt"))
        assert (can.reference_s, can.can_blend) == ((3.0, 60.0), True)

    def test_an_old_frame_is_a_model_of_speakers(self) -> None:
        assert abilities_of({}) == Abilities()
        assert not Abilities().takes(ANNA)
        assert CLONES.takes(ANNA)
        assert not CLONES.takes(CAPTAIN)

    def test_languages_of_cloned_voices_count(self) -> None:
        assert check_language((), "DE", "model", ("en", "de")) == "de"
        assert check_language(OWN, "de-AT", "model", ("de",)) == "de-at"
        assert check_language((), "xx", "a model that does not tell") == "xx"
        with pytest.raises(UnknownLanguage):
            check_language((), "fr", "model", ("en", "de"))


def test_a_job_remembers_its_voice() -> None:
    from tests.daemon.jobs.made import make_order

    order = make_order()
    kept = order._replace(speech=order.speech._replace(voice="anna", voice_digest="abc", description="x"))
    assert load_order(dump_order(kept)) == kept


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("en-us", "en-us"),
        ("fr", "fr-fr"),
        ("FR", "fr-fr"),
        ("en", "en-gb"),
        ("fr+f3", "fr-fr+f3"),
        ("en-us+", "en-us+"),
    ],
)
def test_a_voice_is_found_by_id_or_language(asked: str, found: str) -> None:
    assert find_voice(VOICES, asked, "espeak").voice == found


@pytest.mark.parametrize(
    ("asked", "hint"), [("en-uk", "did you mean"), ("zzzzzz", "voiced voices"), ("", "no voice")]
)
def test_an_unknown_voice_is_refused_with_a_hint(asked: str, hint: str) -> None:
    with pytest.raises(UnknownVoice, match=hint):
        find_voice(VOICES, asked, "espeak")


@pytest.mark.parametrize(("asked", "found"), [("fr", "fr"), ("fr-CA", "fr-ca"), ("EN_gb", "en-gb")])
def test_a_language_is_taken_where_a_voice_speaks_it(asked: str, found: str) -> None:
    assert check_language(VOICES, asked, "espeak") == found


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UnknownLanguage, match="tlh"):
        check_language(VOICES, "tlh", "espeak")


def test_a_row_without_languages_has_none() -> None:
    assert VOICES[-1].language == ""
    assert VOICES[0].language == "en-gb"
