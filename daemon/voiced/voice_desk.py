"""What people ask of voices: those of a model, those that were added, new ones. Belongs to the loop."""

from collections.abc import Awaitable, Callable, Iterable

from voiced.jobs.abilities import Abilities, VoiceRow
from voiced.jobs.manager import JobManager
from voiced.jobs.studio import Studio
from voiced.models.voices import Voice, Voices
from voiced.workers.engine import Engine
from voiced_ipc import messages as m
from voiced_ipc.errors import InvalidRequest


class VoiceDesk:
    """Serves requests about voices.

    Args:
        jobs: Knows what models can do.
        voices: Those that were added.
        studio: Makes new ones.
        forget: Called with the name of a voice that was removed.
        usual_model: Returns the model of a request that names none.
    """

    def __init__(
        self,
        jobs: JobManager,
        voices: Voices,
        studio: Studio,
        forget: Callable[[str], None],
        usual_model: Callable[[], str],
    ) -> None:
        self._jobs = jobs
        self._voices = voices
        self._studio = studio
        self._forget = forget
        self._usual_model = usual_model
        self.handlers: dict[type[m.Request], Callable[..., Awaitable[m.Reply]]] = {
            m.ListVoices: self._list,
            m.AddVoice: self._add,
            m.RemoveVoice: self._remove,
        }

    async def _list(self, request: m.ListVoices) -> m.Voices:
        model = request.model or self._usual_model()
        rows = list_voices(await self._jobs.abilities(model), self._voices.all(), model)
        wanted = [row for row in rows if speaks(row, request.language)]
        places = {row.voice: place for place, row in enumerate(wanted)}
        if request.after and request.after not in places:
            raise InvalidRequest("after must be the `next` of an earlier page")
        start = places[request.after] + 1 if request.after else 0
        page = wanted[start : start + request.limit]
        is_last = start + request.limit >= len(wanted)
        return m.Voices(request_id=request.request_id, voices=page, next="" if is_last else page[-1].voice)

    async def _add(self, request: m.AddVoice) -> m.VoiceReply:
        added = await self._studio.add(request)
        return m.VoiceReply(
            request_id=request.request_id, voice=voice_info(added.voice), notes=list(added.notes)
        )

    async def _remove(self, request: m.RemoveVoice) -> m.Acknowledged:
        removed = await self._studio.remove(request.voice)
        self._forget(removed.voice)
        return m.Acknowledged(request_id=request.request_id, message=f"the voice {removed.voice} is removed")


def list_voices(can: Abilities, added: Iterable[Voice], model: str) -> list[m.VoiceInfo]:
    """Return a model's own voices and the added ones that it can use, by language and name.

    Args:
        can: What the model can do.
        added: All that were added; one with the name of the model's own is that one's.
        model: Its id.
    """
    own = [_own_info(row, model) for row in can.voices]
    names = {row.voice for row in can.voices}
    others = [
        voice_info(voice, model, can.languages)
        for voice in added
        if can.takes(voice) and voice.voice not in names
    ]
    return sorted([*own, *others], key=lambda info: (info.language, info.voice))


def voice_info(voice: Voice, model: str = "", languages: tuple[str, ...] = ()) -> m.VoiceInfo:
    """Return an added voice as a client sees it.

    Args:
        voice: It.
        model: That would speak with it; empty = not settled.
        languages: All that the model speaks.
    """
    return m.VoiceInfo(
        voice=voice.voice,
        name=voice.voice,
        model=model,
        language=voice.language,
        languages=list(languages or filter(None, (voice.language,))),
        kind=voice.kind,
        references=len(voice.recordings),
        reference_s=voice.seconds,
        description=voice.description,
    )


def _own_info(row: VoiceRow, model: str) -> m.VoiceInfo:
    return m.VoiceInfo(
        voice=row.voice,
        name=row.name,
        model=model,
        language=row.language,
        languages=list(row.languages),
        gender=row.gender,
    )


def speaks(voice: m.VoiceInfo, language: str) -> bool:
    """Return whether a voice speaks a language, or one that begins with its tag; an empty one is spoken by all."""
    wanted = language.lower()
    return not wanted or any(
        spoken.lower() == wanted or spoken.lower().startswith(f"{wanted}-") for spoken in voice.languages
    )


def owner_of(voice: str, engines: Iterable[Engine]) -> str:
    """Return the model that has a voice of this name of its own; empty = none of those that told theirs."""
    for engine in engines:
        if any(row.get("voice") == voice for row in engine.voices):
            return engine.spec.model
    return ""
