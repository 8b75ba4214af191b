"""Texts to be spoken: each another one, of few words or of many segments."""

import random

_WORDS = (
    *("harbour", "window", "morning", "letter", "engine", "quiet", "river", "seven", "garden", "under"),
    *("carry", "never", "answer", "paper", "little", "mountain", "before", "winter", "yellow", "number"),
    *("people", "story", "bridge", "early", "silver", "always", "music", "corner"),
)
_LANGUAGE = "This is plain English about the"
"""Enough for the language to be found out the same way each time."""


def make_text(source: random.Random, mark: str, sentences: int) -> str:
    """Return a text of so many sentences that no other `mark` gives."""
    lines = [f"{_LANGUAGE} {mark}."]
    for _ in range(sentences - 1):
        words = source.choices(_WORDS, k=source.randint(3, 12))
        lines.append(" ".join(words).capitalize() + ".")
    return " ".join(lines)


def sentences(source: random.Random) -> int:
    """Return a length: most texts are short, some take several batches of a worker."""
    return source.choices((1, 4, 12, 60), (5, 6, 3, 1))[0]
