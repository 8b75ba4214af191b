"""Documents to characters: plain text in any encoding, Markdown, HTML, Word, EPUB; the rest is refused with what to do.

What a document is, its name and its content say together: where they contradict each other, nothing is guessed.
Files are opened so that nobody can make this process read what its user did not put there: no link is followed,
no pipe is waited for, and a file that changes while it is read is not taken. Runs in the scribe.
"""

import os
import stat
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from voiced.text.cleaning import clean, is_binary
from voiced.text.document import Cover, Document
from voiced.text.encodings import decode
from voiced_ipc.errors import DocumentRefused

if TYPE_CHECKING:
    from voiced.text.archive import Archive

__all__ = ["Cover", "Document", "read_document", "read_text", "refuse_empty"]

_ZIP = b"PK\x03\x04"
_READS = "This version reads plain text (.txt), Markdown (.md), HTML (.html), Word (.docx) and EPUB (.epub)."
_NEVER = f"is not read; save or export it as plain text. {_READS}"
_PDF = (
    "A PDF is not read: it knows where letters stand on a page, not which text they are. Save the original as .docx or "
    f".epub, or the PDF as plain text (pdftotext file.pdf). {_READS}"
)
_OLD_WORD = f"An old Word document (.doc) is not read; save it as .docx. {_READS}"
_OPEN_DOCUMENT = f"An OpenDocument text (.odt) is not read; save it as .docx or plain text. {_READS}"
_KINDLE = f"A Kindle book is not read; get or convert it as EPUB. {_READS}"

_BY_SUFFIX = {
    ".pdf": _PDF,
    ".doc": _OLD_WORD,
    ".odt": _OPEN_DOCUMENT,
    ".pages": f"A Pages document is not read; export it as .docx or EPUB. {_READS}",
    ".rtf": f"Rich text (.rtf) is not read; save it as .docx or plain text. {_READS}",
    ".mobi": _KINDLE,
    ".azw": _KINDLE,
    ".azw3": _KINDLE,
    ".fb2": f"A FictionBook {_NEVER}",
    ".tex": f"A TeX source {_NEVER}",
}
_BY_MAGIC = (
    (b"%PDF-", _PDF),
    (_ZIP, f"A zip archive, Word document or EPUB is no plain text: let it keep its own ending. {_READS}"),
    (b"PK\x05\x06", f"A zip archive without anything in it {_NEVER}"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "An old Office document, or one that is locked with a password, is not read; "
        f"unlock it and save it as .docx or plain text. {_READS}",
    ),
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

_MARKDOWN = (".md", ".markdown", ".mdown", ".mkd")
_HTML = (".html", ".htm", ".xhtml", ".xht")
_ZIPPED = {".docx": "a Word document", ".epub": "an EPUB"}
_MOST_MEDIA_TYPE_BYTES = 200


def read_text(data: bytes) -> str:
    """Return the characters of a plain text: line ends are LF, accents composed, invisible marks gone.

    Raises:
        DocumentRefused: If the bytes are another format, no text, or there is nothing in them.
    """
    refuse_by_magic(data)
    text = decode(data)
    if text is None or is_binary(text):
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


def refuse_by_magic(data: bytes) -> None:
    """Refuse what its first bytes show to be another format.

    Raises:
        DocumentRefused: If it is one.
    """
    for magic, message in _BY_MAGIC:
        if data.startswith(magic):
            raise DocumentRefused(message)


def read_document(path: Path, max_bytes: int, *, name: str = "") -> Document:
    """Return the document in a file.

    Args:
        path: The file; must be regular and owned by this user.
        max_bytes: Greatest size. What is packed in it may have `archive.GROWTH` times as many in all.
        name: What its owner calls it: tells format and title; empty = the path's last part.

    Raises:
        DocumentRefused: If it cannot or may not be read; the message says why and what to do.
        OSError: If the disk fails.
    """
    shown = PurePath(name or path.name)
    suffix = shown.suffix.lower()
    if message := _BY_SUFFIX.get(suffix):
        raise DocumentRefused(message)
    data = _read_safely(path, max_bytes)
    document = _read(data, shown, max_bytes)
    refuse_empty(document.text)
    return document


def _read(data: bytes, shown: PurePath, max_bytes: int) -> Document:
    suffix, title = shown.suffix.lower(), shown.stem
    if data.startswith(_ZIP):
        return _read_zipped(data, suffix, title, max_bytes)
    if suffix in _ZIPPED:
        refuse_by_magic(data)
        raise DocumentRefused(
            f"This is not {_ZIPPED[suffix]}, though it is called {suffix}. If it is plain text, call it .txt; "
            f"if it should be one, it is damaged: get it again. {_READS}"
        )
    if suffix in _HTML:
        from voiced.text.html import read_page

        refuse_by_magic(data)
        return read_page(data, title)
    text = read_text(data)
    if suffix in _MARKDOWN:
        from voiced.text.markdown import read_markdown

        return read_markdown(text, title)
    return Document(title, text)


def _read_zipped(data: bytes, suffix: str, title: str, max_bytes: int) -> Document:
    from voiced.text.archive import GROWTH, Archive
    from voiced.text.docx import read_docx
    from voiced.text.epub import read_epub

    archive = Archive(data, GROWTH * max_bytes)
    kind = _zipped_kind(archive)
    if suffix != kind:
        raise DocumentRefused(
            f"This is {_ZIPPED[kind]} (*{kind}), but its name {f'ends in {suffix}' if suffix else 'has no ending'}. "
            f"Rename it so that it ends in {kind}."
        )
    return read_epub(archive, title) if kind == ".epub" else read_docx(archive, title)


def _zipped_kind(archive: "Archive") -> str:
    """Return the suffix that a zip file should have.

    Raises:
        DocumentRefused: If it is none that is read.
    """
    if archive.find("META-INF/container.xml"):
        return ".epub"
    kind = archive.find("mimetype")
    media_type = archive.read(kind).strip() if kind and archive.size(kind) < _MOST_MEDIA_TYPE_BYTES else b""
    if media_type == b"application/epub+zip":
        return ".epub"
    if media_type.startswith(b"application/vnd.oasis.opendocument"):
        raise DocumentRefused(_OPEN_DOCUMENT)
    if archive.find("[Content_Types].xml"):
        if archive.find("word/document.xml") or archive.find("word/styles.xml"):
            return ".docx"
        raise DocumentRefused(f"A spreadsheet or presentation {_NEVER}")
    raise DocumentRefused(f"A zip archive is not read; unpack it and put in the texts themselves. {_READS}")


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
