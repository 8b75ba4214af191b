"""What `voiced say` is to speak: words, a file, standard input; in pieces that one request takes."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from voiced.cli.exits import CommandFailed, Exit
from voiced_ipc import messages as m

_MAX_PIECES = 64
"""Longer texts (48 MiB) are no speech but a mistake, or a document."""
_PLAIN = ("", ".txt", ".text")


def text_of(words: Sequence[str], file: str | None) -> str:
    """Return what is to be said.

    Args:
        words: Of the command line; - alone, and none where standard input is no terminal, stand for standard input.
        file: A text, or a document that `voiced drop` reads too; its own chapters, notes and tags are not told here.

    Raises:
        CommandFailed: If there is nothing to say, or it cannot be read.
        DocumentRefused: If it is a document that cannot be read, with what to do.
    """
    if file is not None:
        if words:
            raise CommandFailed("give a text or a file, not both", Exit.USAGE)
        text = _text_in(Path(file))
    elif list(words) == ["-"] or (not words and not sys.stdin.isatty()):
        text = _decoded(sys.stdin.buffer.read())
    elif words:
        text = _decoded(os.fsencode(" ".join(words)))
    else:
        raise CommandFailed("what shall be said? `voiced say TEXT`, or `voiced say -f FILE`", Exit.USAGE)
    if not text.strip():
        raise CommandFailed("the text is empty", Exit.DATA)
    return text


def _text_in(path: Path) -> str:
    """The text of a file; what has a document's name, or is not UTF-8, is read as the daemon reads it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", Exit.NO_INPUT) from error
    if path.suffix.lower() in _PLAIN:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            pass
    return _read_document(data, path.name)


def _read_document(data: bytes, name: str) -> str:
    from tempfile import TemporaryDirectory

    from voiced.config import Config
    from voiced.text.documents import read_document

    most_bytes = Config().max_document_mb << 20  # as the daemon has it where nobody sets it
    with TemporaryDirectory(prefix="voiced-") as folder:  # a copy: it may be a pipe, or somebody else's file
        copy = Path(folder, "document")
        copy.write_bytes(data)
        return read_document(copy, most_bytes, name=name).text


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"the text is not UTF-8 (byte {error.start}); `voiced say -f FILE` reads other encodings and documents",
            Exit.DATA,
        ) from error


def pieces_of(text: str, limit_bytes: int = m.MAX_TEXT_BYTES) -> list[str]:
    """Return the text in pieces that one request takes, cut at ends of paragraphs, or else of lines, or at spaces.

    Raises:
        CommandFailed: If a stretch without any space is longer, or the text is beyond all measure.
    """
    data = text.encode()
    if len(data) > limit_bytes * _MAX_PIECES:
        raise CommandFailed(
            "the text is too long to listen to; make a file of it: `voiced drop FILE`", Exit.DATA
        )
    pieces = []
    start = 0
    while len(data) - start > limit_bytes:
        end = start + limit_bytes
        cuts = (data.rfind(mark, start, end) + len(mark) for mark in (b"\n\n", b"\n", b" "))
        cut = next((cut for cut in cuts if cut > start + 1), 0)
        if not cut:
            raise CommandFailed(
                f"{limit_bytes} bytes without a space are no text that can be cut; `voiced drop FILE` takes it whole",
                Exit.DATA,
            )
        pieces.append(data[start:cut].decode())
        start = cut
    pieces.append(data[start:].decode())
    return [piece for piece in pieces if piece.strip()]
