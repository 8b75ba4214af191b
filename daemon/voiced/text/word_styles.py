"""What a paragraph of a Word document is: a heading, an item with its number, a line of the contents, or plain text.

Styles are known by the names that the standard fixes ("heading 1", "Title", "toc 2"): ids are in the language of the
program that wrote them. Runs in the scribe.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from voiced.text.markup import attribute, local_name

if TYPE_CHECKING:
    from lxml.etree import _Element

OFF = ("0", "false", "off", "none")
"""How a property says that it is not there."""

TITLE = -1
"""Level of the style Title: above the headings, where a document has one."""

_HEADING = re.compile(r"heading ([1-9])")
_CONTENTS = re.compile(r"toc (?:[1-9]|heading)|table of figures|index (?:[1-9]|heading)")
_PLACEHOLDER = re.compile(r"%([1-9])")
_MOST_BASES = 20
_MOST_MARK_CHARS = 40
_LETTERS = {"lowerLetter": 96, "upperLetter": 64}
_NO_NUMBERS = frozenset({"bullet", "none", ""})
_MOST_LEVELS = 9


class Kind(NamedTuple):
    """What a paragraph is."""

    level: int = 0
    """Of a heading; `TITLE` of the title; 0 = none."""
    number: str = ""
    """The list that it is an item of; empty = none."""
    depth: int = 0
    """Of the item."""
    is_contents: bool = False


class Style(NamedTuple):
    """What a style says by itself."""

    name: str
    based_on: str
    level: int
    number: str
    depth: int


class Styles:
    """The styles of a document by their ids."""

    def __init__(self, styles: dict[str, Style]) -> None:
        self._styles = styles

    @classmethod
    def read(cls, root: "_Element | None") -> "Styles":
        """Return the styles in a part; None = there is none."""
        found: dict[str, Style] = {}
        for element in () if root is None else root:
            if local_name(element) == "style":
                name = based_on = ""
                level, number, depth = 0, "", 0
                for child in element:
                    if local_name(child) == "name":
                        name = attribute(child, "val").lower()
                    elif local_name(child) == "basedon":
                        based_on = attribute(child, "val")
                    elif local_name(child) == "ppr":
                        level, number, depth = _level_and_number(child)
                found[attribute(element, "styleId")] = Style(name, based_on, level, number, depth)
        return cls(found)

    def kind_of(self, paragraph: "_Element") -> Kind:
        """Return what a paragraph is."""
        properties = next((child for child in paragraph if local_name(child) == "ppr"), None)
        if properties is None:
            return Kind()
        level, number, depth = _level_and_number(properties)
        named = next((attribute(child, "val") for child in properties if local_name(child) == "pstyle"), "")
        for style in self._chain(named):
            if _CONTENTS.fullmatch(style.name):
                return Kind(is_contents=True)
            heading = _HEADING.fullmatch(style.name)
            own = TITLE if style.name == "title" else int(heading[1]) if heading else style.level
            level = level or own
            if not number:
                number, depth = style.number, style.depth
        return Kind(min(level, 6), "" if number == "0" else number, depth)

    def _chain(self, named: str) -> Iterator[Style]:
        """Return a style and those it is based on; a ring of them ends somewhere."""
        for _ in range(_MOST_BASES):
            style = self._styles.get(named)
            if style is None:
                return
            yield style
            named = style.based_on


class _Level(NamedTuple):
    kind: str
    first: int
    text: str


class Numbering:
    """The lists of a document, and how far each has been counted."""

    def __init__(self, levels: dict[str, dict[int, _Level]]) -> None:
        self._levels = levels
        self._counts: dict[str, dict[int, int]] = {}

    @classmethod
    def read(cls, root: "_Element | None") -> "Numbering":
        """Return the lists in a part; None = there is none."""
        abstract: dict[str, dict[int, _Level]] = {}
        lists: dict[str, dict[int, _Level]] = {}
        for element in () if root is None else root:
            if local_name(element) == "abstractnum":
                levels = (child for child in element if local_name(child) == "lvl")
                abstract[attribute(element, "abstractNumId")] = {
                    _number(attribute(level, "ilvl"), 0): _level(level) for level in levels
                }
            elif local_name(element) == "num":
                child = next((child for child in element if local_name(child) == "abstractnumid"), None)
                if child is not None:
                    lists[attribute(element, "numId")] = abstract.get(attribute(child, "val"), {})
        return cls(lists)

    def next_mark(self, kind: Kind) -> str:
        """Return what the next item of a list begins with; empty = nothing that is said."""
        levels = self._levels.get(kind.number, {})
        level = levels.get(kind.depth)
        if level is None:
            return ""
        counts = self._counts.setdefault(kind.number, {})
        counts[kind.depth] = counts.get(kind.depth, level.first - 1) + 1
        for deeper in [depth for depth in counts if depth > kind.depth]:
            del counts[deeper]
        if level.kind in _NO_NUMBERS:
            return ""

        def count(placeholder: re.Match[str]) -> str:
            depth = int(placeholder[1]) - 1
            one = levels.get(depth, level)
            number = counts.get(depth, one.first)
            letter = _LETTERS.get(one.kind)
            return chr(letter + number) if letter and 0 < number <= 26 else str(number)

        return _PLACEHOLDER.sub(count, level.text[:_MOST_MARK_CHARS]).strip()


def _level(element: "_Element") -> _Level:
    said = {local_name(child): attribute(child, "val") for child in element}
    return _Level(said.get("numfmt", ""), _number(said.get("start", ""), 1), said.get("lvltext", ""))


def _level_and_number(properties: "_Element") -> tuple[int, str, int]:
    """Return (level of a heading, list, depth in it) as a paragraph's properties say."""
    level, number, depth = 0, "", 0
    for child in properties:
        name = local_name(child)
        if name == "outlinelvl":
            outline = _number(attribute(child, "val"), _MOST_LEVELS)
            level = outline + 1 if 0 <= outline < _MOST_LEVELS else 0  # the tenth is plain text
        elif name == "numpr":
            said = {local_name(one): attribute(one, "val") for one in child}
            number, depth = said.get("numid", ""), _number(said.get("ilvl", ""), 0)
    return level, number, depth


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else default
