"""Which voice and which language, given what a model can do: pure decisions before a job is planned."""

from collections.abc import Sequence

from voiced.jobs.abilities import Abilities, VoiceRow
from voiced.jobs.job import Speech
from voiced.models.catalogue import CATALOGUE
from voiced.models.voices import Voice
from voiced_ipc.errors import InvalidRequest, UnknownLanguage, UnknownVoice

_HOW_TO_ADD = "`voiced voice add NAME RECORDING.wav` makes a voice, `--voice NAME` asks for it"


def choose_voice(
    speech: Speech, can: Abilities, added: Voice | None, *, is_seeded: bool
) -> tuple[Speech, VoiceRow | None, tuple[str, ...]]:
    """Return the speech with its voice settled, the model's own voice where it is one, and what differs.

    A model's own voice goes before an added one of the same name.

    Args:
        speech: What was asked for.
        can: What the model can do.
        added: The added voice of the name that was asked for.
        is_seeded: The request names its seed.

    Raises:
        UnknownVoice: If there is no such voice.
        InvalidRequest: If the model cannot speak with it, or needs a voice and none was asked for; with the remedy.
    """
    model, name = speech.model, speech.voice
    if not name:
        _check_no_voice(speech, can)
        return speech, None, ()
    is_own = name.partition("+")[0] in {row.voice for row in can.voices}
    if added is None or is_own:
        if not can.voices and "speaker" not in can.identities:
            raise UnknownVoice(f"no voice {name!r} was added for {model}: {_HOW_TO_ADD}")
        row = find_voice(list(can.voices), name, model)
        return speech._replace(voice=row.voice), row, ()
    if not can.takes(added):
        others = ", ".join(spec.model for spec in CATALOGUE.values() if spec.identity == added.kind)
        made_of = "recordings" if added.recordings else "words"
        raise InvalidRequest(
            f"{model} cannot speak with {added.voice}, which is made of {made_of}; models that can: {others}"
        )
    speech = speech._replace(voice_digest=added.digest)
    if added.recordings and "prompt" in can.identities:
        return speech, None, _check_recordings(added, can, model)
    if speech.description:
        raise InvalidRequest(f"the voice {added.voice} is a description itself: give one of the two")
    # The same words with another seed are another person.
    seed = speech.seed if is_seeded else int(added.digest[:8], 16)
    return speech._replace(description=added.description, seed=seed), None, ()


def _check_no_voice(speech: Speech, can: Abilities) -> None:
    if not can.voices and "prompt" in can.identities and "description" not in can.identities:
        raise InvalidRequest(f"{speech.model} has no voice of its own: {_HOW_TO_ADD}")


def _check_recordings(voice: Voice, can: Abilities, model: str) -> tuple[str, ...]:
    used = voice.recordings if can.can_blend else voice.recordings[:1]
    shortest_s, longest_s = can.reference_s
    for recording in used:
        if not shortest_s <= recording.seconds <= longest_s:
            raise InvalidRequest(
                f"{model} makes a voice of recordings from {shortest_s:g} to {longest_s:g} s; "
                f"one of {voice.voice} has {recording.seconds:.1f} s: add a voice with another one"
            )
    if len(used) < len(voice.recordings):
        return (f"{model} takes one recording: the first of {len(voice.recordings)} is used",)
    return ()


def find_voice(voices: list[VoiceRow], voice: str, model: str) -> VoiceRow:
    """Return the voice asked for, by its id or by its language (`fr`); `name+variant` keeps its variant.

    Raises:
        UnknownVoice: Naming some that there are.
    """
    base, plus, variant = voice.partition("+")
    for matches in (lambda row: row.voice == base, lambda row: base.lower() in row.languages):
        for row in filter(matches, voices):
            return row._replace(voice=f"{row.voice}{plus}{variant}")
    import difflib

    near = difflib.get_close_matches(base, [row.voice for row in voices], n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise UnknownVoice(f"{model} has no voice {voice!r}{hint} (`voiced voices` lists all)")


def check_language(voices: Sequence[VoiceRow], language: str, model: str, others: Sequence[str] = ()) -> str:
    """Return the language asked for.

    Args:
        voices: The model's own.
        language: The tag.
        model: For the message.
        others: Languages that it speaks with voices that were added.

    Raises:
        UnknownLanguage: If no voice speaks it.
    """
    wanted = language.lower().replace("_", "-")
    known = [*others, *(spoken for row in voices for spoken in row.languages)]
    if is_spoken(wanted, known) or (not known and not voices):  # a model may not tell: its engine will
        return wanted
    raise UnknownLanguage(f"{model} does not speak {language!r} (`voiced voices` lists the languages)")


def is_spoken(language: str, languages: Sequence[str]) -> bool:
    """Return whether a language, or its base, is one of those."""
    base = language.lower().partition("-")[0]
    return any(base == spoken.lower().partition("-")[0] for spoken in languages)
