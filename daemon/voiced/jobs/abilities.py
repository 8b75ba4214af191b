"""What a model can do, as its worker told when it was ready."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from voiced.models.voices import Voice


class VoiceRow(NamedTuple):
    """A voice as its worker listed it."""

    voice: str
    name: str
    languages: tuple[str, ...]
    gender: str = ""

    @property
    def language(self) -> str:
        """Its first language."""
        return self.languages[0] if self.languages else ""


class Abilities(NamedTuple):
    """What a model can do, as its worker told when it was ready."""

    voices: tuple[VoiceRow, ...] = ()
    """Its own."""
    languages: tuple[str, ...] = ()
    """All that it speaks; none = it does not tell."""
    identities: tuple[str, ...] = ("speaker",)
    reference_s: tuple[float, float] = (0.0, 1e9)
    can_blend: bool = False

    def takes(self, voice: Voice) -> bool:
        """Return whether an added voice can be used."""
        return bool(
            (voice.recordings and "prompt" in self.identities)
            or (voice.description and "description" in self.identities)
        )


def abilities_of(ready: Mapping[str, Any]) -> Abilities:
    """Return what a worker's `ready` frame tells."""
    rows = (
        VoiceRow(str(row["voice"]), str(row["name"]), tuple(row["languages"]), str(row.get("gender", "")))
        for row in ready.get("voices", [])
    )
    shortest_s, longest_s = ready.get("reference_s", (0.0, 1e9))
    return Abilities(
        tuple(rows),
        tuple(ready.get("languages", [])),
        tuple(ready.get("identities", ["speaker"])),
        (float(shortest_s), float(longest_s)),
        bool(ready.get("can_blend")),
    )
