"""Tags under the names that FFmpeg gives them; it knows what each format calls them in turn. Pure."""

from collections.abc import Iterable

from voiced.audio.tags import Tags, neat
from voiced.chapters import ChapterSpan
from voiced.iso639 import three_letters

OGG = ("ogg", "opus")
"""The formats that are Opus in Ogg."""
COMMENTED = ("flac", *OGG)
"""The formats whose tags are Vorbis comments: any name may be used."""
_AUDIOBOOK = "2"
"""Of the atom `stik`: players file it under books, and remember the place in it."""


def labels(format_: str, tags: Tags) -> dict[str, str]:
    """Return what a file says about itself; what is empty is left out."""
    title, author, language = neat(tags.title), neat(tags.author), neat(tags.language)
    told = {
        "title": title,
        "artist": author,
        "album_artist": author,
        "album": neat(tags.album) or title,
        "track": f"{tags.track}/{tags.tracks}" if tags.track else "",
        "genre": "Audiobook" if format_ == "m4b" else "Speech",
        "comment": neat(tags.comment),
        "LANGUAGE": language if format_ in COMMENTED else "",
        "language": three_letters(language) if language and format_ == "mp3" else "",
        "media_type": _AUDIOBOOK if format_ == "m4b" else "",
    }
    return {key: value for key, value in told.items() if value}


def chapter_comments(chapters: Iterable[ChapterSpan], sample_rate_hz: int) -> dict[str, str]:
    """Return chapters as comments, as Xiph's "Chapter Extension" has them."""
    told: dict[str, str] = {}
    for number, chapter in enumerate(chapters):
        ms = chapter.start * 1000 // sample_rate_hz
        time = f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
        told |= {f"CHAPTER{number:03}": time, f"CHAPTER{number:03}NAME": chapter.title}
    return told
