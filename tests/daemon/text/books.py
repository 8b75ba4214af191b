"""Real documents made of values: EPUB 2 and 3, Word; for everything that reads a book."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


class Section(NamedTuple):
    """A chapter."""

    title: str
    paragraphs: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Each is referred to at the end of the first paragraph."""
    has_page_break: bool = False


class Book(NamedTuple):
    """What is in a document."""

    title: str = "The Lamp"
    author: str = "Ada Example"
    language: str = "en"
    sections: tuple[Section, ...] = (
        Section("The Harbour", ("The lamp was lit at nine.", "Nobody saw it.")),
        Section("The Hill", ("In the morning they climbed.",)),
    )
    cover: bytes = b""
    """A PNG or JPEG."""


def make_picture(kind: str = "PNG", size: tuple[int, int] = (60, 90)) -> bytes:
    """Return a picture that programs can read."""
    from PIL import Image

    made = io.BytesIO()
    Image.new("RGB", size, (20, 60, 120)).save(made, kind)
    return made.getvalue()


def make_novel(sections: int = 24, chars: int = 500_000) -> Book:
    """Return a book of a novel's length; no two paragraphs are the same."""
    per_section = chars // sections
    made = []
    for number in range(1, sections + 1):
        paragraphs: list[str] = []
        while sum(map(len, paragraphs)) < per_section:
            count = len(paragraphs) + 1
            paragraphs.append(
                f"On the evening of day {count} of the journey {number}, the captain counted his lamps again, and "
                f"found {count * number} of them. The mate, who had slept little, said nothing. “Who took them?” "
                "asked the boy; but the sea was calm, the wind had gone to the east, and nobody answered him."
            )
        made.append(Section(f"Chapter {number}", tuple(paragraphs)))
    return Book("The Long Journey", "Ada Example", "en", tuple(made), make_picture())


def write_zip(path: Path, entries: Mapping[str, bytes | str]) -> Path:
    """Write entries in their order; the type of an EPUB is first and not packed, as the standard wants it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            method = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            file.writestr(name, content, method)
    return path


def _changed(
    entries: dict[str, bytes | str], changes: Mapping[str, bytes | str | None] | None
) -> dict[str, bytes | str]:
    changed = {**entries, **(changes or {})}
    return {name: content for name, content in changed.items() if content is not None}


# -- EPUB -----------------------------------------------------------------------------------------------


def build_epub(
    path: Path, book: Book, *, version: int = 3, changes: Mapping[str, bytes | str | None] | None = None
) -> Path:
    """Write a book as an EPUB.

    Args:
        path: Where to.
        book: What is in it.
        version: 2 or 3.
        changes: Entries to replace or add; None takes one away.
    """
    return write_zip(path, _changed(epub_entries(book, version=version), changes))


def epub_entries(book: Book, *, version: int = 3) -> dict[str, bytes | str]:
    """Return what is in an EPUB, by name."""
    numbers = range(1, len(book.sections) + 1)
    entries: dict[str, bytes | str] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
            '<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
            "</container>"
        ),
        "OEBPS/book.opf": _package(book, version),
        **{f"OEBPS/c{number}.xhtml": page(_section(number, book.sections[number - 1])) for number in numbers},
    }
    if version == 3:
        entries["OEBPS/nav.xhtml"] = page(
            '<nav epub:type="toc"><h1>Contents</h1><ol>'
            + "".join(
                f'<li><a href="c{number}.xhtml">{escape(book.sections[number - 1].title)}</a></li>'
                for number in numbers
            )
            + "</ol></nav>"
        )
    else:
        points = [(book.sections[number - 1].title, f"c{number}.xhtml") for number in numbers]
        entries["OEBPS/toc.ncx"] = ncx("".join(nav_point(title, source) for title, source in points))
    if book.cover:
        entries["OEBPS/cover.png"] = book.cover
    return entries


def page(body: str, *, title: str = "", head: str = "") -> str:
    """Return a page of XHTML."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>{escape(title)}</title>{head}</head>'
        f"<body>{body}</body></html>"
    )


def ncx(points: str) -> str:
    """Return the contents of an EPUB 2."""
    return (
        '<?xml version="1.0"?><!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" '
        '"http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">'
        f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><navMap>{points}</navMap></ncx>'
    )


def nav_point(title: str, source: str, inner: str = "") -> str:
    """Return a line of the contents of an EPUB 2."""
    label = f"<navLabel><text>{escape(title)}</text></navLabel>"
    return f"<navPoint>{label}<content src={quoteattr(source)}/>{inner}</navPoint>"


def _section(number: int, section: Section) -> str:
    first, *others = section.paragraphs
    references = "".join(
        f'<a epub:type="noteref" href="#n{count}">{count}</a>' for count in range(1, len(section.notes) + 1)
    )
    parts = [f'<section epub:type="chapter" id="c{number}"><h1>{escape(section.title)}</h1>']
    parts.append(f"<p>{escape(first)}{references}</p>")
    if section.has_page_break:
        parts.append(f'<span epub:type="pagebreak" id="page{number}" title="{number}">{number}</span>')
    parts += [f"<p>{escape(paragraph)}</p>" for paragraph in others]
    parts += [
        f'<aside epub:type="footnote" id="n{count}"><p>{escape(note)}</p></aside>'
        for count, note in enumerate(section.notes, 1)
    ]
    return "".join((*parts, "</section>"))


def _package(book: Book, version: int) -> str:
    numbers = range(1, len(book.sections) + 1)
    items = [
        f'<item id="c{number}" href="c{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in numbers
    ]
    contents = (
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        if version == 3
        else '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    )
    properties = ' properties="cover-image"' if version == 3 else ""
    cover = f'<item id="cover" href="cover.png" media-type="image/png"{properties}/>' if book.cover else ""
    meta = '<meta name="cover" content="cover"/>' if book.cover and version == 2 else ""
    spine = "".join(f'<itemref idref="c{number}"/>' for number in numbers)
    first = '<itemref idref="nav"/>' if version == 3 else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><package xmlns="http://www.idpf.org/2007/opf" version="{version}.0" '
        'unique-identifier="id"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:opf="http://www.idpf.org/2007/opf"><dc:identifier id="id">urn:x</dc:identifier>'
        f"<dc:title>{escape(book.title)}</dc:title><dc:creator>{escape(book.author)}</dc:creator>"
        f"<dc:language>{escape(book.language)}</dc:language>{meta}</metadata>"
        f"<manifest>{contents}{''.join(items)}{cover}</manifest>"
        f"<spine{' toc=' + chr(34) + 'ncx' + chr(34) if version == 2 else ''}>{first}{spine}</spine></package>"
    )


# -- Word -----------------------------------------------------------------------------------------------


def build_docx(path: Path, book: Book, *, changes: Mapping[str, bytes | str | None] | None = None) -> Path:
    """Write a book as a Word document: its sections are headings of level 1, their notes footnotes."""
    return write_zip(path, _changed(docx_entries(book), changes))


def docx_entries(book: Book) -> dict[str, bytes | str]:
    """Return what is in a Word document, by name."""
    notes = [note for section in book.sections for note in section.notes]
    return {
        "[Content_Types].xml": (
            f'<?xml version="1.0"?><Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" '
            'ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType='
            '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
        ),
        "_rels/.rels": (
            f'<?xml version="1.0"?><Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
            f'Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>'
        ),
        "docProps/core.xml": (
            f'<?xml version="1.0"?><cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(book.title)}</dc:title>'
            f"<dc:creator>{escape(book.author)}</dc:creator><dc:language>{escape(book.language)}</dc:language>"
            "</cp:coreProperties>"
        ),
        "word/document.xml": word_body("".join(_word_section(section) for section in book.sections)),
        "word/styles.xml": word_part(
            "styles",
            # Ids are in the language of the program, names are not.
            '<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>'
            '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
            '<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/><w:basedOn w:val="berschrift1"/></w:style>'
            '<w:style w:styleId="Verzeichnis1"><w:name w:val="toc 1"/></w:style>',
        ),
        "word/footnotes.xml": word_part(
            "footnotes", "".join(f"<w:footnote>{word_p(note)}</w:footnote>" for note in notes)
        ),
    }


def word_part(name: str, inner: str) -> str:
    """Return a part of a Word document."""
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:{name} xmlns:w="{WORD}">{inner}</w:{name}>'


def word_body(inner: str) -> str:
    """Return the main part of a Word document."""
    return word_part("document", f"<w:body>{inner}<w:sectPr/></w:body>")


def word_p(text: str, *, style: str = "", properties: str = "", after: str = "") -> str:
    """Return a paragraph of a Word document."""
    style = f'<w:pStyle w:val="{style}"/>' if style else ""
    return (
        f"<w:p><w:pPr>{style}{properties}</w:pPr>"
        f'<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r>{after}</w:p>'
    )


def _word_section(section: Section) -> str:
    reference = '<w:r><w:footnoteReference w:id="1"/></w:r>' * len(section.notes)
    first, *others = section.paragraphs
    return (
        word_p(section.title, style="berschrift1")
        + word_p(first, after=reference)
        + "".join(word_p(paragraph) for paragraph in others)
    )
