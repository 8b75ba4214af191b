"""Word documents (.docx, also in the strict form of the standard) to text and chapters. Runs in the scribe.

Read is what the text is with all changes accepted: what was inserted, not what was deleted; no notes, comments,
headers, footers, contents or field codes. A text box is read once, after the paragraph that it hangs on.
"""

import posixpath
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from voiced.text.archive import Archive
from voiced.text.blocks import Block, assemble, chapters_by_headings, make_block
from voiced.text.document import Document, language_tag, one_line
from voiced.text.html import MOST_HEADING_CHARS
from voiced.text.markup import attribute, characters, local_name, parse_lenient_xml, walk
from voiced.text.word_styles import OFF, TITLE, Kind, Numbering, Styles
from voiced_ipc.errors import DocumentRefused

if TYPE_CHECKING:
    from lxml.etree import _Element

_MAIN_PART = "word/document.xml"

_NOT_READ = frozenset(
    {"del", "delinstrtext", "deltext", "flddata", "instrtext", "movefrom", "rt", "sectpr", "tblgrid"}
    | {f"{name}pr" for name in ("p", "r", "ruby", "sdt", "tbl", "tc", "tr")}
)
"""Names in small letters."""
_SPOKEN_AS = {"tab": " ", "ptab": " ", "br": "\n", "cr": "\n", "nobreakhyphen": "-"}
_NO_TEXT = (
    "The Word document holds no text that can be found: it is damaged. Open it in Word and save it again."
)


def read_docx(archive: Archive, title: str) -> Document:
    """Return the document in a Word file.

    Args:
        archive: The file.
        title: For a document that has none.

    Raises:
        DocumentRefused: If it is damaged.
    """
    main = _main_part(archive)
    root = _parse(archive, main)
    body = None if root is None else next((child for child in root if local_name(child) == "body"), None)
    if body is None:
        raise DocumentRefused(_NO_TEXT)
    folder = posixpath.dirname(main)
    styles = Styles.read(_parse(archive, posixpath.join(folder, "styles.xml")))
    numbering = Numbering.read(_parse(archive, posixpath.join(folder, "numbering.xml")))
    blocks = _Reader(styles, numbering).read(body)
    manuscript = assemble(_raised(blocks))
    core = _core(archive)
    heading = next((block.text for block in blocks if block.level == TITLE), "")
    own = core.get("title") or one_line(heading)
    return Document(
        own or title,
        manuscript.text,
        chapters_by_headings(manuscript, own or title),
        core.get("creator", ""),
        language_tag(core.get("language")),
    )


def _raised(blocks: list[Block]) -> Iterator[Block]:
    """Return blocks whose levels count from the title, where there is one."""
    has_title = any(block.level == TITLE for block in blocks)
    for block in blocks:
        if block.level == TITLE:
            yield block._replace(level=1)
        elif block.level and has_title:
            yield block._replace(level=min(block.level + 1, 6))
        else:
            yield block


def _main_part(archive: Archive) -> str:
    relations = _parse(archive, "_rels/.rels")
    for relation in () if relations is None else relations:
        if relation.get("Type", "").endswith("/officeDocument"):
            found = archive.find(relation.get("Target", ""))
            if found:
                return found
    found = archive.find(_MAIN_PART)
    if found is None:
        raise DocumentRefused(_NO_TEXT)
    return found


def _core(archive: Archive) -> dict[str, str]:
    try:
        root = _parse(archive, "docProps/core.xml")
    except DocumentRefused:
        return {}  # a text without its title is better than none
    return (
        {}
        if root is None
        else {local_name(child): one_line(child.text) for child in root if local_name(child)}
    )


def _parse(archive: Archive, name: str) -> "_Element | None":
    found = archive.find(name)
    return parse_lenient_xml(characters(archive.read(found))) if found else None


class _Paragraph(NamedTuple):
    """A paragraph that is open."""

    pieces: list[str]
    kind: Kind


class _Reader:
    """What has been read of a body so far. Every `enter` has its `leave`."""

    def __init__(self, styles: Styles, numbering: Numbering) -> None:
        self._styles = styles
        self._numbering = numbering
        self._blocks: list[Block] = []
        self._boxes: list[Block] = []
        """Of text boxes: they follow the paragraph that they hang on."""
        self._paragraphs: list[_Paragraph] = []
        """Those that are open: one, and one for each text box in it."""
        self._layouts: list[bool] = []
        """Of each table that is open, whether it only arranges texts."""
        self._cells: list[list[str]] | None = None
        """Of the row that is open, where its table is one of data."""
        self._group = 0
        self._is_in_list = False
        self._open: list[Callable[[], None]] = []

    def read(self, body: "_Element") -> list[Block]:
        """Return the blocks of a body."""
        walk(body, self._enter, self._leave)
        return self._blocks

    def _enter(self, element: "_Element") -> bool:
        name = local_name(element)
        is_read = bool(name) and name not in _NOT_READ and not _is_left_out(element, name)
        self._open.append(self._begin(element, name) if is_read else _nothing)
        return is_read

    def _leave(self, element: "_Element") -> None:
        self._open.pop()()

    def _begin(self, element: "_Element", name: str) -> "Callable[[], None]":
        """Begin an element that is read; return what ends it."""
        if name == "p":
            self._paragraphs.append(_Paragraph([], self._styles.kind_of(element)))
            return self._end_paragraph
        if name == "tbl":
            return self._begin_table(element)
        if name == "tr" and self._layouts and not self._layouts[-1]:
            self._cells = []
            return self._end_row
        if name == "tc" and self._cells is not None:
            self._cells.append([])
        elif self._paragraphs:
            pieces = self._paragraphs[-1].pieces
            if name == "t":
                pieces.append(element.text or "")
            elif name in _SPOKEN_AS:
                pieces.append(_SPOKEN_AS[name])
        return _nothing

    def _begin_table(self, element: "_Element") -> "Callable[[], None]":
        self._is_in_list = False
        # A table within a row (of a text box, say) is part of its cell.
        self._layouts.append(self._cells is not None or _is_layout(element))
        self._group += 1

        def end() -> None:
            self._layouts.pop()

        return end

    def _end_row(self) -> None:
        cells = [" ".join(filter(None, parts)) for parts in self._cells or ()]
        self._cells = None
        self._blocks.append(make_block([", ".join(filter(None, cells))], group=self._group))
        self._blocks += self._boxes
        self._boxes = []

    def _end_paragraph(self) -> None:
        paragraph = self._paragraphs.pop()
        text = "".join(paragraph.pieces)
        if paragraph.kind.is_contents or not text.strip():
            block = Block("")
        elif self._cells is not None and not self._paragraphs:
            if self._cells:
                self._cells[-1].append(" ".join(text.split()))
            block = Block("")
        else:
            block = self._block(text, paragraph.kind)
        if self._paragraphs:
            self._boxes.append(block)
            return
        self._blocks.append(block)
        if self._cells is None:
            self._blocks += self._boxes
            self._boxes = []

    def _block(self, text: str, kind: Kind) -> Block:
        level = kind.level if len(text) <= MOST_HEADING_CHARS else 0
        mark = self._numbering.next_mark(kind) if kind.number else ""
        pieces = [f"{mark} " if mark else "", text.strip()]
        if level or not kind.number:
            self._is_in_list = False
            return make_block(pieces, level=level)
        self._group += not self._is_in_list
        self._is_in_list = True
        return make_block(pieces, group=self._group)


def _is_left_out(element: "_Element", name: str) -> bool:
    if name == "r":
        return any(
            local_name(mark) == "vanish" and attribute(mark, "val") not in OFF for mark in _of(element, "rpr")
        )
    if name == "tr":
        return any(local_name(mark) == "del" for mark in _of(element, "trpr"))
    if name == "sdt":
        return any(
            local_name(mark) == "showingplchdr"
            or (local_name(mark) == "docpartgallery" and attribute(mark, "val") == "Table of Contents")
            for properties in _of(element, "sdtpr")
            for mark in properties.iter()
        )
    if name == "fallback":
        return any(local_name(other) == "choice" for other in element.itersiblings(preceding=True))
    return False


def _of(element: "_Element", name: str) -> "Iterator[_Element]":
    """Return what stands in an element's properties."""
    return (mark for child in element if local_name(child) == name for mark in child)


def _is_layout(table: "_Element") -> bool:
    """Return whether a table only arranges a page: it has a table in it, or a single cell a row."""
    cells = rows = 0
    for inner in table.iterdescendants():
        name = local_name(inner)
        if name == "tbl":
            return True
        cells += name == "tc"
        rows += name == "tr"
    return cells <= rows


def _nothing() -> None:
    """End an element that has no end of its own."""
