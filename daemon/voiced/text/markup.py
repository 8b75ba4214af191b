"""Bytes or characters of XML and HTML to a tree that nobody can make large, deep or curious. Runs in the scribe.

The characters are found out here, not by the parser: declarations lie. The document type goes before the parser sees
it, and with it every entity that it defines: no bomb, no file and no address is ever opened. What is no well-formed
XML is read as HTML, which knows no errors. A tree that the parser had to give up is refused, never cut.
"""

import codecs
import re
import sys
from collections.abc import Callable
from html.entities import html5
from typing import TYPE_CHECKING

from voiced.text.cleaning import is_binary
from voiced.text.encodings import decode
from voiced_ipc.errors import DocumentRefused

if TYPE_CHECKING:
    from lxml.etree import XMLParser, _Element

_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]+)|<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]+)""",
    re.I,
)
_DECLARED_WITHIN_BYTES = 4096
_NO_CHARACTERS = frozenset({"utf-7", "unicode_escape", "raw_unicode_escape", "punycode", "idna", "undefined"})
"""Encodings that no browser reads; some of them make characters that are none."""

_XML_DECLARATION = re.compile(r"\s*<\?xml\b[^>]*\?>", re.IGNORECASE)
_DOCUMENT_TYPE = re.compile(r"<!DOCTYPE\b[^<>\[]*([>\[]?)", re.IGNORECASE)
_WITHIN_SUBSET = re.compile(r"<!--(?:(?!-->).){0,1000}-->|\"[^\"]*\"|'[^']*'|\]\s*>", re.DOTALL)
_MOST_SUBSET_CHARS = 1 << 16
_MOST_DOCUMENT_TYPES = 8
"""There is one. What is behind many is not harmful either: the parser is told to resolve nothing."""
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_REFERENCE = re.compile(r"&#(?:[xX]0*([0-9a-fA-F]+)|0*([0-9]+));?")
_MOST_DIGITS = 7
_XML_ENTITIES = frozenset({"amp", "lt", "gt", "quot", "apos"})
_EMBEDDED = re.compile(r"data:[\w/+.;=-]{0,100}base64,[A-Za-z0-9+/=\s]{64,}")
"""Pictures and fonts within a page: megabytes that nobody reads."""
_NOT_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_DAMAGED = "It is damaged, or no real document of its kind. Open it in its program and save it again, or as plain text."


def characters(data: bytes) -> str:
    """Return the characters of marked-up text.

    A mark at the beginning and UTF-8 decide alone, then what the text says of itself, then what it looks like.

    Raises:
        DocumentRefused: If it is no text.
    """
    text = None if _is_marked(data) else _decode_plainly(data)
    text = decode(data) if text is None else text
    if text is None or is_binary(text):
        raise DocumentRefused("It holds no text, or in an encoding that is not known; save it in UTF-8.")
    return text


def parse_xml(text: str) -> "_Element | None":
    """Return the root of well-formed XML; None = it is not."""
    from lxml import etree

    try:
        return etree.fromstring(_prepared(text), _xml_parser(recover=False))
    except etree.XMLSyntaxError:
        return None


def parse_lenient_xml(text: str) -> "_Element":
    """Return the root of XML, mended where it is broken.

    Raises:
        DocumentRefused: If nothing can be made of it.
    """
    from lxml import etree

    parser = _xml_parser(recover=True)
    try:
        root = etree.fromstring(_prepared(text), parser)
    except etree.XMLSyntaxError as error:
        raise DocumentRefused(_DAMAGED) from error
    if root is None:
        raise DocumentRefused(_DAMAGED)
    _refuse_given_up(parser)
    return root


def _xml_parser(*, recover: bool) -> "XMLParser":
    from lxml import etree

    return etree.XMLParser(
        encoding="utf-8",
        recover=recover,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
    )


def parse_html(text: str) -> "_Element | None":
    """Return the root of HTML, whatever it is like; None = there is nothing in it.

    Raises:
        DocumentRefused: If it is nested beyond reason.
    """
    from lxml import etree

    parser = etree.HTMLParser(encoding="utf-8", recover=True, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(_prepared(text), parser)
    except etree.XMLSyntaxError:
        root = None
    _refuse_given_up(parser)
    return root


def parse_page(text: str, *, is_xml: bool) -> "_Element | None":
    """Return the root of a page: as XML where it says so and is, else as HTML."""
    root = parse_xml(text) if is_xml else None
    return parse_html(text) if root is None else root


def local_name(element: "_Element") -> str:
    """Return an element's name in small letters without its namespace; empty for comments and their like."""
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(tag, str) else ""


def attribute(element: "_Element", name: str) -> str:
    """Return an attribute, whatever its namespace; empty = it is not there."""
    found = (value for key, value in element.attrib.items() if key.rpartition("}")[2] == name)
    return next(found, "")


def walk(root: "_Element", enter: "Callable[[_Element], bool]", leave: "Callable[[_Element], None]") -> None:
    """Go through a tree without recursion: it is as deep as somebody liked.

    Args:
        root: Where to begin.
        enter: Begins an element; returns whether to go into it.
        leave: Ends each element that was begun.
    """
    element = root
    while True:
        if enter(element) and len(element):
            element = element[0]
            continue
        leave(element)
        while element is not root and (following := element.getnext()) is None:
            element = element.getparent()
            leave(element)
        if element is root:
            return
        element = following


def _prepared(text: str) -> bytes:
    text = _XML_DECLARATION.sub("", text.lstrip("\ufeff"), count=1)
    text = _without_document_type(text)
    text = _EMBEDDED.sub("data:,", text)
    text = _REFERENCE.sub(_as_valid, text)
    text = _ENTITY.sub(_as_characters, text)
    return _NOT_XML.sub("", text).encode("utf-8") or b" "


def _without_document_type(text: str) -> str:
    for _ in range(_MOST_DOCUMENT_TYPES):
        found = _DOCUMENT_TYPE.search(text)
        if found is None:
            break
        end = found.end()
        if found[1] == "[":
            parts = _WITHIN_SUBSET.finditer(text, end, end + _MOST_SUBSET_CHARS)
            end = next((part.end() for part in parts if part[0].startswith("]")), end)
        text = text[: found.start()] + text[end:]
    return text


def _as_valid(reference: re.Match[str]) -> str:
    """Return a reference by number as it stands, if there is such a character: the parser mends no surrogates."""
    hexadecimal, decimal = reference[1], reference[2]
    digits = hexadecimal or decimal
    number = int(digits, 16 if hexadecimal else 10) if len(digits) <= _MOST_DIGITS else -1
    is_one = 0 < number <= sys.maxunicode and not _NOT_XML.match(chr(number))
    return reference[0] if is_one else "\ufffd"


def _as_characters(entity: re.Match[str]) -> str:
    name = entity[1]
    if name in _XML_ENTITIES or not (found := html5.get(name + ";")):
        return entity[0]
    return "".join(f"&#{ord(character)};" for character in found)


def _is_marked(data: bytes) -> bool:
    marks = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
    return data.startswith(marks) or b"\0" in data[:64]


def _decode_plainly(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    declared = _DECLARED.search(data, 0, _DECLARED_WITHIN_BYTES)
    return _decode_as(data, (declared[1] or declared[2]).decode("ascii")) if declared else None


def _decode_as(data: bytes, encoding: str) -> str | None:
    try:
        name = codecs.lookup(encoding).name
        # A page that says Latin-1 means what browsers take it for.
        name = "cp1252" if name in ("iso8859-1", "ascii") else name
        return None if name in _NO_CHARACTERS or name.startswith("utf-") else data.decode(name, "replace")
    except (LookupError, UnicodeError):
        return None


def _refuse_given_up(parser: object) -> None:
    """Refuse where the parser stopped: what it had not seen yet would be lost without a word."""
    from lxml.etree import ErrorTypes

    for entry in parser.error_log:  # type: ignore[attr-defined]
        if entry.type == ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError
        if entry.type in (
            ErrorTypes.ERR_RESOURCE_LIMIT,
            ErrorTypes.ERR_NAME_TOO_LONG,
            ErrorTypes.ERR_INTERNAL_ERROR,
        ):
            raise DocumentRefused(
                "Its elements are nested too deep, or one of them is too large, which no honest document needs. "
                "Save it as plain text."
            )
