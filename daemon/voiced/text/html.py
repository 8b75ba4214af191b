"""Web pages, and the pages that books are made of, to blocks. Runs in the scribe.

Said is what a reader sees and means: headings, paragraphs, one item of a list a line, one row of a table a sentence.
`voiced.text.elements` has the rules.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from voiced.text.blocks import UNSAID, Anchor, Block, assemble, chapters_by_headings, make_block
from voiced.text.document import Document, language_tag, one_line
from voiced.text.elements import BLOCKS, HEADINGS, is_layout, is_read
from voiced.text.markup import characters, local_name, parse_page, walk

if TYPE_CHECKING:
    from lxml.etree import _Element

_SPACES = re.compile(r"[ \t\n\r\f\v]+")
_IS_XHTML = re.compile(
    r"\s*(?:<\?xml|<!DOCTYPE[^>\[]{0,200}XHTML|<html[^>]{0,500}\bxmlns\s*=)", re.IGNORECASE
)
_AUTHORS = frozenset({"author", "dc.creator", "dcterms.creator", "article:author", "book:author"})
_NO_MARKS = re.compile(r"list-style(?:-type)?\s*:\s*none", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]{1,6}")
MOST_HEADING_CHARS = 300


class _List:
    """A list that is being read: what its next item is numbered."""

    def __init__(
        self, *, is_numbered: bool, first: int = 1, step: int = 1, has_letters: bool = False
    ) -> None:
        self._is_numbered = is_numbered
        self._next = first
        self._step = step
        self._has_letters = has_letters

    @classmethod
    def of(cls, element: "_Element", name: str) -> "_List":
        """Return a list before its first item."""
        style = element.get("style", "")
        if name != "ol" or _NO_MARKS.search(style):
            return cls(is_numbered=False)
        is_reversed = element.get("reversed") is not None
        items = sum(1 for child in element if local_name(child) == "li") if is_reversed else 1
        return cls(
            is_numbered=True,
            first=_number(element.get("start"), items),
            step=-1 if is_reversed else 1,
            has_letters=element.get("type") in ("a", "A"),
        )

    def next_mark(self, element: "_Element") -> str:
        """Return what the next item begins with."""
        if not self._is_numbered:
            return ""
        number = _number(element.get("value"), self._next)
        self._next = number + self._step
        return f"{chr(96 + number)}) " if self._has_letters and 0 < number <= 26 else f"{number}. "


def _number(text: str | None, default: int) -> int:
    return int(text) if text and _NUMBER.fullmatch(text) else default


def read_page(data: bytes, title: str) -> Document:
    """Return the document in a page of HTML or XHTML.

    Args:
        data: The file.
        title: For a page that has none.

    Raises:
        DocumentRefused: If it cannot be read.
    """
    text = characters(data)
    root = parse_page(text, is_xml=bool(_IS_XHTML.match(text.lstrip("\ufeff"))))
    if root is None:
        return Document(title, "")
    manuscript = assemble(read_blocks(root, is_site=True))
    if not manuscript.text:  # a page that is nothing but a form or a menu
        manuscript = assemble(read_blocks(root))
    own = page_title(root) or next((place.title for level, place in manuscript.headings if level == 1), "")
    return Document(
        own or title,
        manuscript.text,
        chapters_by_headings(manuscript, own or title),
        _author(root),
        language_of(root),
    )


def read_blocks(root: "_Element", *, is_site: bool = False) -> list[Block]:
    """Return what is said of a tree, in its order.

    Args:
        root: Of HTML.
        is_site: Leave out the menus, forms and asides that a site puts around a text.
    """
    reader = _Reader(is_site=is_site)
    walk(root, reader.enter, reader.leave)
    return reader.finish()


def page_title(root: "_Element") -> str:
    """Return what a page calls itself; empty = nothing."""
    for element in _elements(root, "title"):
        if local_name(element.getparent()) in ("head", "html", "body"):  # pictures have titles too
            return one_line("".join(element.itertext()))
    return ""


def language_of(root: "_Element") -> str:
    """Return the language that a page says it is in; empty = none."""
    for element in (root, *_elements(root, "body")):
        tag = language_tag(element.get("lang") or element.get("{http://www.w3.org/XML/1998/namespace}lang"))
        if tag:
            return tag
    return ""


def _author(root: "_Element") -> str:
    names = (
        one_line(element.get("content"))
        for element in _elements(root, "meta")
        if (element.get("name") or element.get("property") or "").lower() in _AUTHORS
    )
    return next((name for name in names if name and "://" not in name), "")


def _elements(root: "_Element", name: str) -> "Iterator[_Element]":
    return (element for element in root.iter() if local_name(element) == name)


class _Reader:
    """What has been read of a tree so far. Every `enter` has its `leave`."""

    def __init__(self, *, is_site: bool) -> None:
        self._is_site = is_site
        self._blocks: list[Block] = []
        self._pieces: list[str] = []
        self._names: list[tuple[int, str]] = []
        self._lead = ""
        """What the next text begins with: the number of its item, the comma before its cell."""
        self._open: list[Callable[[], None]] = []
        """What ends each element that is open."""
        self._level = 0
        self._preformatted = 0
        self._items = 0
        self._group = 0
        """The outermost list or table, counted."""
        self._lists: list[_List] = []
        self._layouts: list[bool] = []
        self._is_in_row = False
        self._has_cell = False
        """The row has text already."""

    # -- the walk -------------------------------------------------------------------------------------

    def enter(self, element: "_Element") -> bool:
        """Begin an element; return whether what is inside it is read."""
        name = local_name(element)
        if not name:
            self._open.append(_nothing)
            return False
        if name in BLOCKS:
            self._separate()
        anchor = element.get("id") or (element.get("name") if name == "a" else None)
        is_said = is_read(element, name, is_site=self._is_site)
        if anchor and name in BLOCKS and not is_said:
            self._blocks.append(Block("", anchors=(Anchor(anchor, UNSAID),)))
        elif anchor:
            self._names.append((len(self._pieces), anchor))
        if not is_said:
            self._open.append(_nothing)
            return False
        self._open.append(self._begin(element, name))
        if name == "math" and (spoken := element.get("alttext")):
            self._add(spoken)
            return False
        self._add(element.text)
        return True

    def leave(self, element: "_Element") -> None:
        """End an element, and read what follows it within its parent."""
        self._open.pop()()
        if self._open:  # else it is the root: what follows belongs to somebody else
            self._add(element.tail)

    def finish(self) -> list[Block]:
        """Return everything that was read."""
        self._flush()
        return self._blocks

    # -- elements -------------------------------------------------------------------------------------

    def _begin(self, element: "_Element", name: str) -> "Callable[[], None]":
        """Begin an element that is read; return what ends it."""
        if name == "br":
            self._break_line()
            return _nothing
        if name == "q":
            self._add("“")
            return lambda: self._add("”")
        if name not in BLOCKS:
            return _nothing
        if name in HEADINGS and not self._is_in_row:
            return self._begin_heading(HEADINGS[name])
        if name == "pre":
            self._preformatted += 1
            return self._end_preformatted
        if name in ("ul", "ol", "menu", "dl"):
            self._begin_group()
            self._lists.append(_List.of(element, name))
            return self._end_list
        if name in ("li", "dt", "dd"):
            return self._begin_item(element, name)
        if name == "table":
            self._begin_group()
            self._layouts.append(self._is_in_row or is_layout(element))
            return self._end_table
        if self._layouts and not self._layouts[-1]:
            if name == "tr" and not self._is_in_row:
                self._is_in_row = True
                return self._end_row
            if name in ("td", "th") and self._is_in_row:
                self._lead = ", " if self._has_cell else ""
        return self._separate

    def _begin_group(self) -> None:
        if not self._lists and not self._is_in_row:
            self._group += 1

    def _begin_heading(self, level: int) -> "Callable[[], None]":
        outer, self._level = self._level, self._level or level

        def end() -> None:
            if not outer:
                self._flush()
                self._level = 0

        return end

    def _begin_item(self, element: "_Element", name: str) -> "Callable[[], None]":
        self._items += 1
        if name == "li" and self._lists and not self._is_in_row:
            self._lead = self._lists[-1].next_mark(element)
        return self._end_item

    def _end_item(self) -> None:
        self._separate()
        self._items -= 1
        self._lead = ""

    def _end_list(self) -> None:
        self._separate()
        self._lists.pop()

    def _end_preformatted(self) -> None:
        self._separate()
        self._preformatted -= 1

    def _end_table(self) -> None:
        self._separate()
        self._layouts.pop()

    def _end_row(self) -> None:
        self._is_in_row = self._has_cell = False
        self._lead = ""
        self._flush(group=self._group)

    # -- text -----------------------------------------------------------------------------------------

    def _add(self, text: str | None) -> None:
        if not text:
            return
        if not self._preformatted:
            text = _SPACES.sub(" ", text)
            if not self._pieces or self._pieces[-1].endswith((" ", "\n")):
                text = text.lstrip(" ")
            if not text:
                return
        if not text.isspace():
            self._has_cell = self._is_in_row
            if self._lead:
                if self._is_in_row and self._pieces:
                    self._pieces[-1] = self._pieces[-1].rstrip(" ")
                self._pieces.append(self._lead)
                self._lead = ""
        self._pieces.append(text)

    def _break_line(self) -> None:
        if self._is_in_row:
            self._add(" ")
        elif self._pieces:
            if not self._preformatted:
                self._pieces[-1] = self._pieces[-1].rstrip(" ")
            self._pieces.append("\n")

    def _separate(self) -> None:
        """Begin or end a block: within a row it is but a space, within a heading a line."""
        if self._is_in_row:
            self._add(" ")
        elif not self._level:
            self._flush(group=self._group if self._items else 0)
        elif self._pieces and not self._pieces[-1].endswith("\n"):
            self._break_line()

    def _flush(self, *, group: int = 0) -> None:
        if not self._pieces and not self._names:
            return
        # What is so long was never closed, or is made large by somebody who thinks that this is what headings are for.
        is_heading = self._level and sum(map(len, self._pieces)) <= MOST_HEADING_CHARS
        level = self._level if is_heading else 0
        block = make_block(self._pieces, self._names, level=level, group=0 if level else group)
        if block.text or block.anchors:
            self._blocks.append(block)
        self._pieces, self._names = [], []


def _nothing() -> None:
    """End an element that has no end of its own."""
