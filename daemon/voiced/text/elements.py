"""Which elements of HTML are said, and how: the rules that `voiced.text.html` follows. Pure; runs in the scribe."""

import re
from itertools import chain, islice
from typing import TYPE_CHECKING

from voiced.text.markup import local_name

if TYPE_CHECKING:
    from lxml.etree import _Element


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


HEADINGS = {f"h{level}": level for level in range(1, 7)}

BLOCKS = _set(
    "address article aside blockquote body caption center details dd dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p pre section "
    "summary table tbody td tfoot th thead tr ul"
)
"""What begins and ends on a line of its own."""

_NEVER = _set(
    "applet area audio base button canvas case col colgroup datalist embed frame frameset head iframe input link map "
    "meta noembed noframes noscript object param rp rt rtc script select source style svg template textarea title "
    "track video"
)
_OF_A_SITE = frozenset({"nav", "aside", "form", "menu", "dialog"})
_OF_A_SITE_OUTSIDE_ARTICLES = frozenset({"header", "footer"})

_NOT_READ_TYPES = _set(
    "annoref endnote endnotes footnote footnotes landmarks noteref page-list pagebreak rearnote rearnotes toc"
)
_NOT_READ_ROLES = _set(
    "doc-backlink doc-endnote doc-endnotes doc-footnote doc-noteref doc-pagebreak doc-pagelist "
    "doc-toc navigation"
)
_NOTE_CLASSES = frozenset(
    {"footnote", "footnotes", "endnote", "endnotes", "footnote-ref", "footnote-backref"}
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_NOTE_NUMBER = re.compile(
    r"\s*[\[({]?\s*(?:\d{1,4}|[ivxlc]{1,7}|[a-z]|[*†‡§¶#]{1,4})\s*[\])}]?\.?\s*", re.IGNORECASE
)
_BRACKETED = re.compile(r"\s*\[\s*(?:\d{1,4}|[*†‡§¶]{1,4})\s*\]\s*")
_LAYOUT = ("table", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "pre", "blockquote", "hr")
_LONG_NOTE_CHARS = 40
_MOST_NOTE_ELEMENTS = 16

_OPS_TYPE = "{http://www.idpf.org/2007/ops}type"


def is_read(element: "_Element", name: str, *, is_site: bool) -> bool:
    """Return whether an element is said at all.

    Args:
        element: It.
        name: Its local name.
        is_site: It is a page of a site, with menus and forms around what it is about.
    """
    if name in _NEVER:
        return False
    attributes = element.attrib
    if attributes and _is_left_out(element):
        return False
    if name in ("sup", "sub", "a") and is_note_reference(element, name):
        return False
    if not is_site:
        return True
    return name not in _OF_A_SITE and not (
        name in _OF_A_SITE_OUTSIDE_ARTICLES
        and all(local_name(parent) not in ("article", "main") for parent in element.iterancestors())
    )


def is_note_reference(element: "_Element", name: str) -> bool:
    """Return whether this is the raised number of a note: `<sup><a href="#n1">1</a></sup>` or the other way round."""
    if name == "a":
        if "#" not in element.get("href", ""):
            return False
        text = _short_text(element)
        raised = any(local_name(child) in ("sup", "sub") for child in element.iterchildren())
        return bool(_NOTE_NUMBER.fullmatch(text)) if raised else bool(_BRACKETED.fullmatch(text))
    inside = islice(element.iter(), _MOST_NOTE_ELEMENTS)
    is_linked = any(
        local_name(link) == "a" and "#" in link.get("href", "")
        for link in chain(element.iterancestors(), inside)
    )
    return bool(is_linked and _NOTE_NUMBER.fullmatch(_short_text(element).replace(",", "")))


def is_layout(table: "_Element") -> bool:
    """Return whether a table only arranges a page: what is in its cells are texts of their own."""
    paragraphs = 0
    for inner in table.iterdescendants():
        name = local_name(inner)
        if name in _LAYOUT:
            return True
        paragraphs += (name == "p") - (name in ("td", "th"))
    return paragraphs > 0


def types_of(element: "_Element") -> set[str]:
    """Return the words of an `epub:type`, however its namespace was read."""
    return set((element.get(_OPS_TYPE) or element.get("epub:type") or "").lower().split())


def _is_left_out(element: "_Element") -> bool:
    if element.get("hidden") is not None or element.get("aria-hidden", "").strip().lower() == "true":
        return True
    style = element.get("style")
    if style and _HIDDEN_STYLE.search(style):
        return True
    if types_of(element) & _NOT_READ_TYPES:
        return True
    if set(element.get("role", "").lower().split()) & _NOT_READ_ROLES:
        return True
    return bool(set(element.get("class", "").lower().split()) & _NOTE_CLASSES)


def _short_text(element: "_Element") -> str:
    """Return an element's text as far as it matters for what is short."""
    text = ""
    for piece in element.itertext("*"):
        text += piece
        if len(text) > _LONG_NOTE_CHARS:
            break
    return text
