"""Who speaks: a request against the models, voices, languages and devices that there are."""

from collections.abc import Callable
from typing import NamedTuple

from voiced.config import Config
from voiced.jobs import resolve
from voiced.jobs.abilities import Abilities, abilities_of
from voiced.jobs.choose_voice import check_language, choose_voice, is_spoken
from voiced.jobs.job import Order, Speech
from voiced.models.spec import ModelSpec
from voiced.models.voices import Voices
from voiced.workers.pool import Pool
from voiced.workers.spawn import RunAs
from voiced_ipc.errors import UnknownLanguage, VoicedError
from voiced_ipc.messages import Synthesize

_SPEAKER = "speaker"
"""A model whose voices are its own."""


class Cast(NamedTuple):
    """How a text is to be spoken."""

    speech: Speech
    spec: ModelSpec
    language: str
    """Empty = to be found out."""
    likely_language: str
    """What it is where the text does not tell."""
    notes: tuple[str, ...] = ()
    """What differs from what was asked for."""


class Casting:
    """Chooses model, voice, language and device.

    Args:
        pool: Knows the models and their voices.
        added: The voices that were added.
    """

    def __init__(self, pool: Pool, added: Voices) -> None:
        self.resolve_device: Callable[[str], tuple[str, str]] = lambda device: (device, "")
        """Gives the device that there is for the one asked for, and a note where it is another."""
        self._pool = pool
        self._added = added

    async def cast(self, request: Synthesize, config: Config) -> Cast:
        """Return who speaks the text of a request, and how.

        Args:
            request: What was asked.
            config: Fills in what was not.

        Raises:
            VoicedError: If it cannot be spoken as asked.
        """
        seed = int.from_bytes(request.request_id.encode()[:8], "little") & 0xFFFFFFFF
        speech = resolve.resolve_speech(request, config, seed)
        spec = self._pool.engine(speech.model).spec
        other_size = self._pool.shelf.choose(speech.model).warning
        device, note = self.device(request.device, spec, is_strict=config.strict_device)
        speech = speech._replace(model=spec.model, device=device)
        notes = (*filter(None, (note, other_size)), *resolve.ignored_controls(request, spec))
        language, likely = request.language, config.language
        # The embedded voices need not be asked: whatever the language is, they have one for it.
        if speech.voice or language or spec.identity != _SPEAKER:
            can = await self.abilities(speech.model)
            if language:
                language = check_language(can.voices, language, speech.model, can.languages)
            added = self._added.find(speech.voice) if speech.voice else None
            is_seeded = request.seed is not None
            speech, own, more = choose_voice(speech, can, added, is_seeded=is_seeded)
            notes += more
            if own is not None:
                language = language or own.language
            elif added is not None:
                likely = added.language or likely
        return Cast(speech, spec, language or self._usual_language(spec, config.language), likely, notes)

    def device(self, asked: str, spec: ModelSpec, *, is_strict: bool) -> tuple[str, str]:
        """Return the device of a request (empty = as decided), and what differs from the one asked for.

        Raises:
            InvalidRequest: If it is no device.
            DeviceUnavailable: If it is not there, or not for this model, and strict mode forbids another.
        """
        device, note = resolve.check_device(asked, spec, is_strict=is_strict)
        if not device:
            return device, note
        device, moved = self.resolve_device(device)
        return device, note or moved

    def _usual_language(self, spec: ModelSpec, configured: str) -> str:
        """The language where none was asked for; empty = it is found out."""
        spoken = self._languages(spec)
        if len(spoken) == 1:
            return spoken[0]  # whatever the text looks like
        return configured if not spoken or is_spoken(configured, spoken) else ""

    def _languages(self, spec: ModelSpec) -> tuple[str, ...]:
        """What a model speaks, as far as it told; the embedded ones have a voice for everything."""
        engine = self._pool.engine(spec.model)
        return () if spec.is_embedded else abilities_of(engine.ready).languages

    def check_language_found(self, cast: Cast, language: str) -> None:
        """Refuse a text whose language was found out and is not the model's, before its first word is spoken.

        Raises:
            UnknownLanguage: With the remedy.
        """
        languages = () if cast.language else self._languages(cast.spec)
        if languages and not is_spoken(language, languages):
            raise UnknownLanguage(
                f"the text seems to be in {language!r}, which {cast.spec.model} does not speak; "
                "choose another model, or give the language if that is wrong"
            )

    async def abilities(self, model: str) -> Abilities:
        """Return what a model can do; waits for it to load where it never was.

        Raises:
            VoicedError: If it cannot be loaded.
        """
        return abilities_of((await self._pool.known(model)).ready)

    def spec(self, model: str) -> ModelSpec:
        """Return what is known of a model.

        Raises:
            UnknownModel, ModelMissing: If it cannot be loaded.
        """
        return self._pool.engine(model).spec

    async def usage(self, order: Order) -> tuple[RunAs, int]:
        """Return where and how a job is spoken, and the rate of its audio; what is not known is empty or 0."""
        try:
            engine = self._pool.engine(order.speech.model)
            run = await self._pool.usage(order.speech.model, order.speech.device)
        except VoicedError:  # it was accepted before, and its model has gone since
            return RunAs("", ""), order.sample_rate_hz
        return run, order.sample_rate_hz or engine.sample_rate_hz
