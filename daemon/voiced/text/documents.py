"""Documents to characters: plain text in any encoding; everything else is refused with what to do instead.

Files are opened so that nobody can make this process read what its user did not put there: no link is followed,
no pipe is waited for, and a file that changes while it is read is not taken. Runs in the scribe.
"""

import os
import stat
from pathlib import Path, PurePath
from typing import NamedTuple

from voiced.text.cleaning import clean
from voiced.text.encodings import decode
from voiced.text.plan import Chapter
from voiced_ipc.errors import DocumentRefused


class Document(NamedTuple):
    """A text that was read."""

    title: str
    text: str
    chapters: tuple[Chapter, ...] = ()


_READS = "This version reads plain text (.txt) in any encoding."
_LATER = f"is not yet read by this version; save it as plain text. {_READS}"
_NEVER = f"is not read; save or export it as plain text. {_READS}"

_BY_SUFFIX = {
    ".md": f"Markdown {_LATER}",
    ".markdown": f"Markdown {_LATER}",
    ".html": f"HTML {_LATER}",
    ".htm": f"HTML {_LATER}",
    ".xhtml": f"HTML {_LATER}",
    ".docx": f"A Word document {_LATER}",
    ".epub": f"An EPUB {_LATER}",
    ".pdf": f"A PDF {_NEVER}",
    ".doc": f"An old Word document {_NEVER}",
    ".odt": f"An OpenDocument text {_NEVER}",
    ".rtf": f"Rich text {_NEVER}",
    ".mobi": f"A Kindle book {_NEVER}",
    ".azw3": f"A Kindle book {_NEVER}",
}
_BY_MAGIC = (
    (b"%PDF-", f"A PDF {_NEVER}"),
    (b"PK\x03\x04", f"A zip archive, Word document or EPUB {_LATER}"),
    (b"PK\x05\x06", f"A zip archive {_NEVER}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"An old Office document {_NEVER}"),
    (b"{\\rtf", f"Rich text {_NEVER}"),
    (b"\x1f\x8b", f"A compressed file {_NEVER}"),
    (b"BZh", f"A compressed file {_NEVER}"),
    (b"\xfd7zXZ\x00", f"A compressed file {_NEVER}"),
    (b"\x28\xb5\x2f\xfd", f"A compressed file {_NEVER}"),
    (b"7z\xbc\xaf\x27\x1c", f"A compressed file {_NEVER}"),
    (b"\x89PNG\r\n", f"A picture {_NEVER}"),
    (b"\xff\xd8\xff", f"A picture {_NEVER}"),
    (b"GIF8", f"A picture {_NEVER}"),
    (b"ID3", f"A sound file {_NEVER}"),
    (b"OggS", f"A sound file {_NEVER}"),
    (b"fLaC", f"A sound file {_NEVER}"),
    (b"RIFF", f"A sound, picture or video file {_NEVER}"),
    (b"\x7fELF", f"A program {_NEVER}"),
)
_BINARY = f"This is no text, or in an encoding that is not known. Save it as plain text in UTF-8. {_READS}"

_CONTROLS = frozenset(
    map(chr, (*range(9), *range(14, 27), *range(28, 32), 0x7F, *range(0x80, 0x85), *range(0x86, 0xA0)))
)


def read_text(data: bytes) -> str:
    """Return the characters of a plain text: line ends are LF, accents composed, invisible marks gone.

    Raises:
        DocumentRefused: If the bytes are another format, no text, or there is nothing in them.
    """
    for magic, message in _BY_MAGIC:
        if data.startswith(magic):
            raise DocumentRefused(message)
    text = decode(data)
    if text is None or _is_binary(text):
        raise DocumentRefused(_BINARY)
    text = clean(text)
    refuse_empty(text)
    return text


def refuse_empty(text: str) -> None:
    """Refuse a text without a character that is seen.

    Raises:
        DocumentRefused: If there is nothing in it.
    """
    if not text or text.isspace():
        raise DocumentRefused("The document is empty: there is nothing to say. Put some text into it.")


def read_document(path: Path, max_bytes: int, *, name: str = "") -> Document:
    """Return the document in a file.

    Args:
        path: The file; must be regular and owned by this user.
        max_bytes: Greatest size.
        name: What its owner calls it: tells format and title; empty = the path's last part.

    Raises:
        DocumentRefused: If it cannot or may not be read; the message says why and what to do.
        OSError: If the disk fails.
    """
    shown = PurePath(name or path.name)
    if message := _BY_SUFFIX.get(shown.suffix.lower()):
        raise DocumentRefused(message)
    return Document(shown.stem, read_text(_read_safely(path, max_bytes)))


def _read_safely(path: Path, max_bytes: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DocumentRefused("The file is not there any more.") from error
    except PermissionError as error:
        raise DocumentRefused("The file may not be read; change its permissions.") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise DocumentRefused("This is a folder, not a file.") from error
    except OSError as error:
        if path.is_symlink():
            raise DocumentRefused("This is a link; put the file itself here.") from error
        raise
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise DocumentRefused("This is no regular file; put a text file here.")
        if before.st_uid != os.geteuid():
            raise DocumentRefused("The file belongs to another user; copy it and try again.")
        if before.st_size > max_bytes:
            raise DocumentRefused(
                f"The file has {before.st_size:,} bytes; at most {max_bytes:,} are read. Cut it into parts."
            )
        data = _read_all(descriptor, before.st_size)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if _identity(before) != _identity(after) or len(data) != before.st_size:
        raise DocumentRefused("The file changed while it was read; try again when it is complete.")
    return data


def _read_all(descriptor: int, size: int) -> bytes:
    parts = []
    left = size + 1  # one more, to see that it has not grown
    while left > 0 and (part := os.read(descriptor, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _is_binary(text: str) -> bool:
    sample = text[:200_000]
    strange = sum(map(_CONTROLS.__contains__, sample)) + sample.count("\ufffd")
    return strange > 2 + len(sample) // 100
