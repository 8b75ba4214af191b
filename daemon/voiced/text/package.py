"""The package of an EPUB: what it says of the book, the order of its files, its contents. Runs in the scribe.

EPUB 2 and 3 are read by the same rules, and what real books do to them is forgiven: percent escapes, other capitals,
entries that are not there, files that are named twice.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from voiced.text.archive import Archive
from voiced.text.document import language_tag, one_line
from voiced.text.elements import types_of
from voiced.text.markup import characters, local_name, parse_lenient_xml, parse_page
from voiced_ipc.errors import DocumentRefused

if TYPE_CHECKING:
    from lxml.etree import _Element

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONT_METHODS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""Fonts are scrambled in these two ways, and nothing else is."""
_FONTS = (".otf", ".ttf", ".woff", ".woff2", ".ttc", ".pfb", ".eot")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_MOST_MANIFEST = 100_000
_MOST_CONTENTS = 20_000
_LEVELS = 2
"""How deep contents are followed: parts and chapters, not every section."""

_DRM = "The EPUB is locked by its seller (DRM) and cannot be read. Take a copy without a lock, or another edition."
_NO_BOOK = (
    "The EPUB lacks its {}, without which nobody knows what is in it; get it again, or save it as plain text."
)


class Place(NamedTuple):
    """Where something in a book points."""

    file: str
    """Name in the archive."""
    fragment: str = ""
    """Of an element in it; empty = its beginning."""


class Entry(NamedTuple):
    """A line of the contents."""

    title: str
    place: Place | None
    depth: int


class Item(NamedTuple):
    """A file that the package names."""

    file: str
    media_type: str
    properties: frozenset[str]


class Package(NamedTuple):
    """What the package says."""

    title: str
    author: str
    language: str
    spine: tuple[str, ...]
    """The files of the text in their order, as far as they are there."""
    missing: tuple[str, ...]
    """The names of those that are not."""
    contents: Item | None
    """The navigation document or NCX."""
    pictures: tuple[Item, ...]
    """What may be the cover, or the page that shows it; the likeliest first."""


def read_package(archive: Archive) -> Package:
    """Return what the package of a book says.

    Raises:
        DocumentRefused: If there is none, or the book is locked.
    """
    _refuse_locked(archive)
    file = _package_file(archive)
    root = parse_lenient_xml(characters(archive.read(file)))
    by_id, missing = _manifest(root, archive, file)
    spine, lost = [], []
    toc = None
    for element in _children(root, "spine"):
        toc = toc or by_id.get(element.get("toc", ""))
    nav = next((item for item in by_id.values() if "nav" in item.properties), None)
    left_out = {nav.file} if nav else set()
    for element in _children(root, "spine", "itemref"):
        name = element.get("idref", "")
        item = by_id.get(name)
        if element.get("linear", "yes").strip().lower() == "no":
            continue
        if item is None:
            lost.append(missing.get(name, name))
        elif item.file not in left_out and _is_page(item):
            spine.append(item.file)
            left_out.add(item.file)  # a file is read once, however often it is named
    ncx = toc or next((item for item in by_id.values() if "dtbncx" in item.media_type), None)
    return Package(
        _title(root),
        _author(root),
        next(
            filter(None, (language_tag(found.text) for found in _children(root, "metadata", "language"))), ""
        ),
        tuple(spine),
        tuple(dict.fromkeys(lost)),
        nav or ncx,
        tuple(_pictures(root, by_id, archive, file)),
    )


def read_contents(archive: Archive, item: Item) -> list[Entry]:
    """Return the contents of a book in their order; empty where they cannot be read."""
    text = characters(archive.read(item.file))
    if "dtbncx" in item.media_type or item.file.lower().endswith(".ncx"):
        entries = _ncx(parse_lenient_xml(text), archive, item.file)
    else:
        root = parse_page(text, is_xml=True)
        entries = iter(()) if root is None else _nav(root, archive, item.file)
    found = [entry for entry, _ in zip(entries, range(_MOST_CONTENTS), strict=False)]
    # One line over all others is the book itself: what is below it counts.
    tops = sum(entry.depth == 0 for entry in found)
    most = _LEVELS + (tops == 1)
    return [entry for entry in found if entry.depth < most]


def resolve(archive: Archive, base: str, href: str) -> Place | None:
    """Return what a reference within a file of the archive points at; None = nothing in it.

    Args:
        archive: The book.
        base: The file's name.
        href: As it stands there.
    """
    path, _, fragment = href.strip().partition("#")
    if _SCHEME.match(path):
        return None
    if not path:
        return Place(base, unquote(fragment)) if base else None
    folder = posixpath.dirname(base)
    # First as it stands: some names have percent signs of their own.
    for candidate in (path, unquote(path), unquote(path.partition("?")[0])):
        for name in (posixpath.join(folder, candidate), candidate):
            if found := archive.find(name):
                return Place(found, unquote(fragment))
    return None


# -- the package ----------------------------------------------------------------------------------------


def _package_file(archive: Archive) -> str:
    if name := archive.find(_CONTAINER):
        root = parse_lenient_xml(characters(archive.read(name)))
        for element in root.iter():
            if local_name(element) == "rootfile" and (
                place := resolve(archive, "", element.get("full-path", ""))
            ):
                return place.file
    if found := next((name for name in archive.names() if name.lower().endswith(".opf")), None):
        return found
    raise DocumentRefused(_NO_BOOK.format("package file (OPF)"))


def _refuse_locked(archive: Archive) -> None:
    name = archive.find(_ENCRYPTION)
    if name is None:
        return
    for element in parse_lenient_xml(characters(archive.read(name))).iter():
        if local_name(element) != "encrypteddata":
            continue
        method = next((found.get("Algorithm", "") for found in _children(element, "encryptionmethod")), "")
        files = [found.get("URI", "") for found in element.iter() if local_name(found) == "cipherreference"]
        if method not in _FONT_METHODS and not all(file.lower().endswith(_FONTS) for file in files):
            raise DocumentRefused(_DRM)


def _manifest(root: "_Element", archive: Archive, file: str) -> tuple[dict[str, Item], dict[str, str]]:
    """Return the items that are there by their ids, and the references of those that are not."""
    there: dict[str, Item] = {}
    missing: dict[str, str] = {}
    for element, _ in zip(_children(root, "manifest", "item"), range(_MOST_MANIFEST), strict=False):
        name, href = element.get("id", ""), element.get("href", "")
        if place := resolve(archive, file, href):
            properties = frozenset(element.get("properties", "").lower().split())
            there.setdefault(name, Item(place.file, element.get("media-type", "").lower(), properties))
        else:
            missing.setdefault(name, one_line(href))
    return there, missing


def _is_page(item: Item) -> bool:
    if item.media_type.startswith(("image/", "audio/", "video/", "font/", "text/css")):
        return False
    return "dtbncx" not in item.media_type


def _title(root: "_Element") -> str:
    titles = list(_children(root, "metadata", "title"))
    main = _refined(root, "title-type", "main")
    chosen = [title for title in titles if title.get("id") in main] or titles
    return next(filter(None, map(_words, chosen)), "")


def _author(root: "_Element") -> str:
    """Return the authors, not the translators and illustrators unless there is nobody else."""
    people = list(_children(root, "metadata", "creator"))
    roles = {found.get("refines", "").lstrip("#"): _words(found) for found in _metas(root, "role")}
    authors = []
    for person in people:
        role = next((value for name, value in person.attrib.items() if name.endswith("role")), None)
        if (role or roles.get(person.get("id", "")) or "aut").lower() == "aut":
            authors.append(person)
    return one_line(", ".join(dict.fromkeys(filter(None, map(_words, authors or people)))))


def _pictures(root: "_Element", by_id: Mapping[str, Item], archive: Archive, file: str) -> Iterator[Item]:
    yield from (item for item in by_id.values() if "cover-image" in item.properties)
    for element in _children(root, "metadata", "meta"):
        if element.get("name", "").lower() == "cover":
            content = element.get("content", "")
            place = resolve(archive, file, content)
            item = by_id.get(content) or (Item(place.file, "", frozenset()) if place else None)
            if item:
                yield item
    for element in _children(root, "guide", "reference"):
        if "cover" in element.get("type", "").lower() and (
            place := resolve(archive, file, element.get("href", ""))
        ):
            yield Item(place.file, "", frozenset())


def _refined(root: "_Element", name: str, value: str) -> set[str]:
    return {
        found.get("refines", "").lstrip("#") for found in _metas(root, name) if _words(found).lower() == value
    }


def _metas(root: "_Element", name: str) -> "Iterator[_Element]":
    return (found for found in _children(root, "metadata", "meta") if found.get("property") == name)


# -- the contents ---------------------------------------------------------------------------------------


def _nav(root: "_Element", archive: Archive, file: str) -> Iterator[Entry]:
    lists = [element for element in root.iter() if local_name(element) == "nav"]
    toc = next((nav for nav in lists if "toc" in types_of(nav) or nav.get("role") == "doc-toc"), None)
    if toc is None and lists and not types_of(lists[0]):
        toc = lists[0]
    if toc is None:
        return
    depth = -1
    for event, element in _walk(toc):
        name = local_name(element)
        if name == "ol":
            depth += 1 if event == "start" else -1
        elif event == "start" and name in ("a", "span") and local_name(element.getparent()) == "li":
            href = element.get("href")
            yield Entry(_words(element), resolve(archive, file, href) if href else None, max(depth, 0))


def _ncx(root: "_Element", archive: Archive, file: str) -> Iterator[Entry]:
    depth = -1
    for event, element in _walk(root):
        if local_name(element) != "navpoint":
            continue
        depth += 1 if event == "start" else -1
        if event == "start":
            title = next((_words(text) for text in _children(element, "navlabel", "text")), "")
            source = next((content.get("src", "") for content in _children(element, "content")), "")
            yield Entry(title, resolve(archive, file, source) if source else None, depth)


def _walk(root: "_Element") -> "Iterator[tuple[str, _Element]]":
    from lxml import etree

    return iter(etree.iterwalk(root, events=("start", "end")))


def _children(root: "_Element", *path: str) -> "Iterator[_Element]":
    """Return what lies on a path of local names, whatever its namespaces."""
    found = [root]
    for name in path:
        found = [child for parent in found for child in _below(parent, name)]
    return iter(found)


def _below(parent: "_Element", name: str) -> "Iterator[_Element]":
    for child in parent:
        if local_name(child) == name:
            yield child
        elif local_name(child) in ("dc-metadata", "x-metadata"):  # as the forerunner of EPUB 2 had it
            yield from _below(child, name)


def _words(element: "_Element") -> str:
    return one_line("".join(element.itertext("*")))
