"""EPUB 2 and 3 to text and chapters: the files of the spine in their order, chapters as the contents say.

Runs in the scribe. `voiced.text.package` knows what the book says of itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

from voiced.text.archive import Archive
from voiced.text.blocks import (
    UNSAID,
    Anchor,
    Block,
    Manuscript,
    assemble,
    chapters_by_headings,
    settle_chapters,
)
from voiced.text.document import MOST_COVER_BYTES, Cover, Document, one_line, picture
from voiced.text.html import language_of, page_title, read_blocks
from voiced.text.markup import characters, local_name, parse_page
from voiced.text.package import Entry, Item, Package, Place, read_contents, read_package, resolve
from voiced.text.plan import Chapter
from voiced_ipc.errors import DocumentRefused

_LEAST_CHAPTERS = 2
"""Contents with less tell nothing: some programs write one line "Start"."""
_MOST_LINE_CHARS = 60
"""What a file without a heading may be called after: its first line, if it is short."""


class _Page(NamedTuple):
    """What was read of a file of the spine."""

    file: str
    title: str
    language: str
    blocks: list[Block]


def read_epub(archive: Archive, title: str) -> Document:
    """Return the document in an EPUB.

    Args:
        archive: The file.
        title: For a book that has none.

    Raises:
        DocumentRefused: If it is locked, damaged, or nothing of it is there.
    """
    package = read_package(archive)
    pages = [page for file in package.spine if (page := _read(archive, file))]
    manuscript = assemble(block for number, page in enumerate(pages) for block in _marked(page, number))
    if not manuscript.text and package.missing:
        raise DocumentRefused(
            f"The EPUB lacks all of its text: {', '.join(package.missing[:5])} "
            f"{'is' if len(package.missing) == 1 else 'are'} not in it. Get it again."
        )
    own = package.title or title
    return Document(
        own,
        manuscript.text,
        _chapters(archive, package, pages, manuscript, own),
        package.author,
        package.language or next(filter(None, (page.language for page in pages)), ""),
        _cover(archive, package),
    )


def _read(archive: Archive, file: str) -> _Page | None:
    root = parse_page(characters(archive.read(file)), is_xml=True)
    return None if root is None else _Page(file, page_title(root), language_of(root), read_blocks(root))


def _marked(page: _Page, number: int) -> Iterator[Block]:
    """Return a page's blocks with anchors that no other page has, and one at its beginning."""
    yield Block("", anchors=(Anchor(_name(number), 0),))
    for block in page.blocks:
        renamed = (anchor._replace(name=_name(number, anchor.name)) for anchor in block.anchors)
        yield block._replace(anchors=tuple(renamed))


def _name(number: int, anchor: str = "") -> str:
    return f"{number}#{anchor}"


# -- chapters -------------------------------------------------------------------------------------------


def _chapters(
    archive: Archive, package: Package, pages: list[_Page], manuscript: Manuscript, title: str
) -> tuple[Chapter, ...]:
    """Return the chapters: of the contents, else of the headings, else one a file."""
    # A file without text - a cover, notes - is no chapter.
    numbers = {
        page.file: number for number, page in enumerate(pages) if any(block.text for block in page.blocks)
    }
    entries = read_contents(archive, package.contents) if package.contents else []
    found = _by_contents(entries, numbers, manuscript)
    if len(found) >= _LEAST_CHAPTERS:
        return settle_chapters(found, manuscript, title)
    by_headings = chapters_by_headings(manuscript, title)
    if len(by_headings) >= _LEAST_CHAPTERS:
        return by_headings
    if found and len(pages) <= _LEAST_CHAPTERS:
        return settle_chapters(found, manuscript, title)
    files = [
        Chapter(_called(pages[number], title), manuscript.anchors[_name(number)])
        for number in numbers.values()
    ]
    return settle_chapters(files, manuscript, title)


def _by_contents(entries: list[Entry], numbers: dict[str, int], manuscript: Manuscript) -> list[Chapter]:
    """Return one chapter a place; a part and the first chapter in it that begin together have both names."""
    found: dict[int, Entry] = {}
    for entry in entries:
        start = _start(entry, numbers, manuscript)
        if start is None or start == UNSAID:
            continue
        known = found.setdefault(start, entry)
        if entry.depth > known.depth and entry.title not in ("", known.title):
            found[start] = Entry(
                f"{known.title}: {entry.title}" if known.title else entry.title, None, entry.depth
            )
    return [Chapter(one_line(entry.title), start) for start, entry in found.items()]


def _start(entry: Entry, numbers: dict[str, int], manuscript: Manuscript) -> int | None:
    place: Place | None = entry.place
    if place is None or place.file not in numbers:
        return None
    number = numbers[place.file]
    # An anchor that is not there means its file: the right page is better than none.
    return manuscript.anchors.get(_name(number, place.fragment), manuscript.anchors.get(_name(number)))


def _called(page: _Page, title: str) -> str:
    heading = next((block.text for block in page.blocks if block.level), "")
    first = next((block.text for block in page.blocks if block.text), "")
    own = page.title if page.title != title else ""
    return heading or (first if len(first) <= _MOST_LINE_CHARS else "") or own


# -- the cover ------------------------------------------------------------------------------------------


def _cover(archive: Archive, package: Package) -> Cover | None:
    """Return the first picture that is one; a cover that cannot be read costs nobody the book."""
    for item in package.pictures:
        try:
            if found := _picture(archive, item):
                return found
        except DocumentRefused:
            continue
    return None


def _picture(archive: Archive, item: Item) -> Cover | None:
    if archive.size(item.file) > MOST_COVER_BYTES:
        return None
    data = archive.read(item.file)
    if (found := picture(data)) or item.media_type.startswith("image/"):
        return found
    if data.lstrip()[:1] not in (b"<", b"\xef", b"\xff", b"\xfe"):
        return None
    root = parse_page(characters(data), is_xml=True)
    for element in () if root is None else root.iter():
        if local_name(element) in ("img", "image"):
            links = (
                value
                for name, value in element.attrib.items()
                if name.rpartition("}")[2] in ("src", "href", "xlink:href")
            )
            place = next((place for link in links if (place := resolve(archive, item.file, link))), None)
            if place and archive.size(place.file) <= MOST_COVER_BYTES:
                return picture(archive.read(place.file))
    return None
