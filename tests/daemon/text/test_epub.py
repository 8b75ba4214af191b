"""EPUB 2 and 3: order, chapters, what is not said, and what real books do to the standard."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.daemon.text.books import (
    Book,
    Section,
    build_epub,
    epub_entries,
    make_novel,
    make_picture,
    nav_point,
    ncx,
    page,
    write_zip,
)
from voiced.text.document import MOST_COVER_BYTES, Cover, Document
from voiced.text.documents import read_document
from voiced.text.plan import Chapter
from voiced_ipc.errors import DocumentRefused

_BOOK = Book(
    "The Lamp",
    "Ada Example",
    "en-GB",
    (Section("One", ("A.", "B.")), Section("Two", ("C.",))),
    make_picture(),
)
_TEXT = "One\n\nA.\n\nB.\n\nTwo\n\nC."
_VERSIONS = pytest.mark.parametrize("version", [2, 3])

Changes = Mapping[str, str | bytes | None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, changes: Changes | None = None, *, book: Book = _BOOK, version: int = 3) -> Document:
    return read_document(build_epub(folder / "name.epub", book, version=version, changes=changes), 1 << 24)


def package_with(*swaps: tuple[str, str], version: int = 3, book: Book = _BOOK) -> dict[str, str | bytes]:
    """Return the package with parts of it replaced; each must be there."""
    package = str(epub_entries(book, version=version)["OEBPS/book.opf"])
    for old, new in swaps:
        assert old in package
        package = package.replace(old, new)
    return {"OEBPS/book.opf": package}


def nav(inner: str) -> dict[str, str]:
    return {
        "OEBPS/nav.xhtml": page(
            f'<nav epub:type="landmarks"><ol><li>no</li></ol></nav><nav epub:type="toc">{inner}</nav>'
        )
    }


def chapters(document: Document) -> list[tuple[str, str]]:
    """Return each chapter's title and the line that it begins with."""
    return [(title, document.text[start:].partition("\n")[0]) for title, start in document.chapters]


@_VERSIONS
def test_a_book(folder: Path, version: int) -> None:
    document = read(folder, version=version)
    assert document == Document(
        "The Lamp",
        _TEXT,
        (Chapter("One", 0), Chapter("Two", 13)),
        "Ada Example",
        "en-GB",
        Cover(_BOOK.cover, "image/png"),
    )


@_VERSIONS
def test_a_novel(folder: Path, version: int) -> None:
    document = read(folder, book=make_novel(), version=version)
    assert len(document.text) > 500_000
    assert [title for title, _ in document.chapters] == [f"Chapter {number}" for number in range(1, 25)]
    assert all(title == line for title, line in chapters(document))


class TestWhatIsNotSaid:
    def test_notes_page_breaks_and_the_contents(self, folder: Path) -> None:
        sections = (Section("One", ("A.", "B."), ("no", "no"), True), Section("Two", ("C.",), ("no",)))
        assert read(folder, book=_BOOK._replace(sections=sections)).text == _TEXT

    @pytest.mark.parametrize(
        "hidden",
        [
            '<aside epub:type="footnote">no</aside>',
            '<section epub:type="endnotes backmatter">no</section>',
            '<div role="doc-endnotes">no</div>',
            '<nav epub:type="page-list"><ol><li>no</li></ol></nav>',
            '<span epub:type="pagebreak">12</span>',
            '<p hidden="hidden">no</p>',
            "<svg xmlns='http://www.w3.org/2000/svg'><text>no</text></svg>",
            "<script>no</script>",
        ],
    )
    @pytest.mark.parametrize("end", ["", "<br>"])  # well-formed, and not
    def test_elements(self, folder: Path, hidden: str, end: str) -> None:
        changes = {
            "OEBPS/c1.xhtml": page(f"<header><h1>One</h1></header><p>A.</p>{hidden}<aside>B.</aside>{end}")
        }
        assert read(folder, changes).text == _TEXT

    def test_a_file_out_of_line(self, folder: Path) -> None:
        changes = package_with(('<itemref idref="c1"/>', '<itemref idref="c1" linear="no"/>'))
        assert read(folder, changes).text == "Two\n\nC."

    def test_a_cover_page(self, folder: Path) -> None:
        assert read(folder, {"OEBPS/c1.xhtml": page("<img src='cover.png' alt='no'/>")}).text == "Two\n\nC."


class TestChapters:
    def test_begin_within_a_file(self, folder: Path) -> None:
        body = "<p>Front.</p><h2 id='a'>I</h2><p>x <i id='b'/>y</p><p><a name='c'/>z</p><p>w</p>"
        links = "".join(f"<li><a href='c1.xhtml#{name}'>To {name}</a></li>" for name in "abc")
        document = read(folder, {"OEBPS/c1.xhtml": page(body), **nav(f"<ol>{links}</ol>")})
        assert chapters(document) == [("The Lamp", "Front."), ("To a", "I"), ("To b", "y"), ("To c", "z")]

    @_VERSIONS
    def test_nested_contents_are_flattened(self, folder: Path, version: int) -> None:
        body = "<h1 id='p'>Part</h1><h2>I</h2><p>x</p><h2 id='b'>II</h2><p>y</p><h3 id='c'>deep</h3><p>z</p>"
        lines = (
            "<ol><li><a href='c1.xhtml#p'>Part</a><ol><li><a href='c1.xhtml'>I</a></li><li><a href='c1.xhtml#b'>II</a>"
            "<ol><li><a href='c1.xhtml#c'>deep</a></li></ol></li></ol></li><li><a href='c2.xhtml'>End</a></li></ol>"
        )
        deep = nav_point("II", "c1.xhtml#b", nav_point("deep", "c1.xhtml#c"))
        points = nav_point("Part", "c1.xhtml#p", nav_point("I", "c1.xhtml") + deep) + nav_point(
            "End", "c2.xhtml"
        )
        contents = nav(lines) if version == 3 else {"OEBPS/toc.ncx": ncx(points)}
        document = read(folder, {"OEBPS/c1.xhtml": page(body), **contents}, version=version)
        assert chapters(document) == [("Part: I", "Part"), ("II", "II"), ("End", "Two")]

    def test_one_line_over_all_others_is_the_book(self, folder: Path) -> None:
        inner = "<ol><li><a href='c1.xhtml'>One</a></li><li><a href='c2.xhtml'>Two</a></li></ol>"
        document = read(folder, nav(f"<ol><li><span>The Lamp</span>{inner}</li></ol>"))
        assert chapters(document) == [("One", "One"), ("Two", "Two")]

    def test_what_is_not_there_is_no_chapter(self, folder: Path) -> None:
        hrefs = ("c9.xhtml", "http://example.org/c1.xhtml", "c1.xhtml#gone", "", "c2.xhtml", "c2.xhtml")
        lines = "".join(f"<li><a href='{href}'>{number}</a></li>" for number, href in enumerate(hrefs))
        assert chapters(read(folder, nav(f"<ol>{lines}</ol>"))) == [("2", "One"), ("4", "Two")]

    def test_what_is_left_out_is_no_chapter(self, folder: Path) -> None:
        files = {
            "OEBPS/c1.xhtml": page(
                "<p>A.</p><section epub:type='endnotes' id='n'><p>no</p></section><p id='e'>E.</p>"
            ),
            "OEBPS/c3.xhtml": page("<img src='cover.png'/>"),
        }
        book = _BOOK._replace(sections=(*_BOOK.sections, Section("x", ("x",))))
        spine = ('<itemref idref="c1"/>', '<itemref idref="c3"/><itemref idref="c1"/>')
        hrefs = ("c3.xhtml", "c1.xhtml", "c1.xhtml#n", "c1.xhtml#e", "c2.xhtml")
        lines = "".join(f"<li><a href='{href}'>{href}</a></li>" for href in hrefs)
        changes = {**files, **nav(f"<ol>{lines}</ol>"), **package_with(spine, book=book)}
        found = chapters(read(folder, changes, book=book))
        assert found == [("c1.xhtml", "A."), ("c1.xhtml#e", "E."), ("c2.xhtml", "Two")]

    @pytest.mark.parametrize(
        "contents", [nav(""), nav("<ol><li><a href='c1.xhtml'>Start</a></li></ol>"), {"OEBPS/nav.xhtml": ""}]
    )
    def test_headings_where_the_contents_tell_nothing(self, folder: Path, contents: Changes) -> None:
        assert chapters(read(folder, contents)) == [("One", "One"), ("Two", "Two")]

    def test_files_where_there_are_no_headings(self, folder: Path) -> None:
        pages = {
            "OEBPS/c1.xhtml": page("<p>First line</p><p>x</p>"),
            "OEBPS/c2.xhtml": page(f"<p>{'long ' * 20}</p>", title="Called so"),
            "OEBPS/c3.xhtml": page(f"<p>{'long ' * 20}</p>", title="The Lamp"),
        }
        book = _BOOK._replace(sections=(*_BOOK.sections, Section("x", ("x",))))
        document = read(folder, {**pages, **nav("")}, book=book)
        assert [title for title, _ in document.chapters] == ["First line", "Called so", "3"]


class TestForgiveness:
    @pytest.mark.parametrize(
        "href",
        [
            "c%31.xhtml",
            "./c1.xhtml",
            "../OEBPS/c1.xhtml",
            "C1.XHTML",
            "sub/../c1.xhtml",
            "c1.xhtml#x",
            "\\c1.xhtml",
        ],
    )
    def test_odd_references(self, folder: Path, href: str) -> None:
        assert read(folder, package_with(('href="c1.xhtml"', f'href="{href}"'))).text == _TEXT

    def test_a_name_with_a_percent_sign(self, folder: Path) -> None:
        changes = package_with(('href="c1.xhtml"', 'href="100%25.xhtml"'))
        assert (
            read(folder, {**changes, "OEBPS/c1.xhtml": None, "OEBPS/100%.xhtml": page("A.")}).text
            == "A.\n\nTwo\n\nC."
        )

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        assert read(folder, {"OEBPS/c1.xhtml": None}).text == "Two\n\nC."
        with pytest.raises(DocumentRefused, match=r"c1\.xhtml, c2\.xhtml are not in it"):
            read(folder, {"OEBPS/c1.xhtml": None, "OEBPS/c2.xhtml": None})

    def test_an_id_that_is_not_there(self, folder: Path) -> None:
        assert (
            read(folder, package_with(('<itemref idref="c1"/>', '<itemref idref="none"/>'))).text
            == "Two\n\nC."
        )

    def test_a_file_that_is_named_ten_thousand_times(self, folder: Path) -> None:
        many = '<itemref idref="c1"/>' * 10_000
        assert read(folder, package_with(('<itemref idref="c1"/>', many))).text == _TEXT

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
    def test_a_package_in_another_encoding(self, folder: Path, encoding: str) -> None:
        package = str(package_with()["OEBPS/book.opf"]).replace("utf-8", "utf-16").encode(encoding)
        assert read(folder, {"OEBPS/book.opf": package}).title == "The Lamp"

    def test_a_broken_package(self, folder: Path) -> None:
        broken = package_with(("</spine></package>", ""), ("The Lamp", "The&nbsp;Lamp &and; more"))
        document = read(folder, broken)
        assert document.text == _TEXT
        assert document.title.startswith("The Lamp")

    @pytest.mark.parametrize(
        "container", [None, "<container/>", "<container><rootfile full-path='none.opf'/></container>"]
    )
    def test_no_container(self, folder: Path, container: str | None) -> None:
        assert read(folder, {"META-INF/container.xml": container}).text == _TEXT

    def test_no_package(self, folder: Path) -> None:
        with pytest.raises(DocumentRefused, match="package file"):
            read(folder, {"OEBPS/book.opf": None})

    @pytest.mark.parametrize("package", ["", "<package/>", "text", b"\x01\x02\x03\x04" * 50])
    def test_a_package_without_anything(self, folder: Path, package: str | bytes) -> None:
        with pytest.raises(DocumentRefused):
            read(folder, {"OEBPS/book.opf": package})

    def test_the_forerunner_of_epub(self, folder: Path) -> None:
        changes = package_with(
            ("<dc:title>", "<dc-metadata><dc:title>"),
            ("</dc:language>", "</dc:language></dc-metadata>"),
            version=2,
        )
        assert read(folder, changes, version=2).title == "The Lamp"


class TestWhatItSays:
    def test_authors_not_translators(self, folder: Path) -> None:
        people = (
            '<dc:creator opf:role="trl">No</dc:creator><dc:creator opf:role="aut">Ada B</dc:creator>'
            '<dc:creator id="x">C D</dc:creator><dc:creator id="y">No</dc:creator>'
            '<meta refines="#y" property="role">ill</meta>'
        )
        changes = package_with(("<dc:creator>Ada Example</dc:creator>", people))
        assert read(folder, changes).author == "Ada B, C D"

    def test_the_main_title(self, folder: Path) -> None:
        titles = (
            '<dc:title id="s">A Series</dc:title><dc:title id="m">The  Lamp</dc:title>'
            '<meta refines="#m" property="title-type">main</meta><dc:title>The'
        )
        assert read(folder, package_with(("<dc:title>The", titles))).title == "The Lamp"
        assert read(folder, package_with(("The Lamp", " "))).title == "name"

    @pytest.mark.parametrize(
        ("said", "language"),
        [
            ("eng", "en"),
            ("GER", "de"),
            ("pt_BR", "pt-BR"),
            ("und", ""),
            ("English", ""),
            ("", ""),
            ("x" * 9, ""),
            ("gsw", "gsw"),
        ],
    )
    def test_the_language(self, folder: Path, said: str, language: str) -> None:
        assert read(folder, package_with((">en-GB<", f">{said}<"))).language == language

    def test_the_pages_tell_the_language_where_the_package_does_not(self, folder: Path) -> None:
        first = page("A.").replace("<html ", '<html xml:lang="fr" ')
        assert read(folder, {**package_with((">en-GB<", "><")), "OEBPS/c1.xhtml": first}).language == "fr"


class TestCovers:
    def test_the_guide_of_epub_2(self, folder: Path) -> None:
        cover = make_picture("JPEG")
        guide = '<guide><reference type="cover" href="cover.xhtml"/></guide></package>'
        changes: dict[str, str | bytes] = package_with(
            ("</package>", guide), book=_BOOK._replace(cover=b""), version=2
        )
        changes["OEBPS/cover.xhtml"] = page(
            '<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="a%20b.jpg"/></svg>'
        )
        changes["OEBPS/a b.jpg"] = cover
        document = read(folder, changes, book=_BOOK._replace(cover=b""), version=2)
        assert document.cover == Cover(cover, "image/jpeg")

    def test_a_reference_where_an_id_should_be(self, folder: Path) -> None:
        changes = package_with(('content="cover"', 'content="cover.png"'), version=2)
        assert read(folder, changes, version=2).cover == Cover(_BOOK.cover, "image/png")

    @pytest.mark.parametrize(
        "data",
        [b"GIF89a...", b"", b"<svg/>", b"\x89PNG\r\n\x1a\n" + b"\0" * MOST_COVER_BYTES],
        ids=["gif", "none", "svg", "large"],
    )
    @_VERSIONS
    def test_what_is_no_picture_or_too_large_is_none(self, folder: Path, data: bytes, version: int) -> None:
        document = read(folder, {"OEBPS/cover.png": data}, version=version)
        assert document.cover is None
        assert document.text == _TEXT


class TestLocks:
    @staticmethod
    def encryption(method: str, file: str) -> dict[str, str]:
        return {
            "META-INF/encryption.xml": (
                '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
                'xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:EncryptionMethod '
                f'Algorithm="{method}"/><enc:CipherData><enc:CipherReference URI="{file}"/></enc:CipherData>'
                "</enc:EncryptedData></encryption>"
            )
        }

    def test_a_locked_text_is_refused(self, folder: Path) -> None:
        with pytest.raises(DocumentRefused, match="DRM"):
            read(folder, self.encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OEBPS/c1.xhtml"))

    @pytest.mark.parametrize(
        ("method", "file"),
        [
            ("http://www.idpf.org/2008/embedding", "OEBPS/x"),
            ("http://www.w3.org/2001/04/xmlenc#aes256-cbc", "a/Font.OTF"),
        ],
    )
    def test_locked_fonts_are_nothing_to_a_voice(self, folder: Path, method: str, file: str) -> None:
        assert read(folder, self.encryption(method, file)).text == _TEXT


def test_what_is_packed_in_its_own_folder_is_found(tmp_path: Path) -> None:
    """Some programs pack the folder of a book instead of what is in it."""
    entries = {f"My Book/{name}": content for name, content in epub_entries(_BOOK).items()}
    with pytest.raises(DocumentRefused, match="unpack"):
        read_document(write_zip(tmp_path / "x.epub", entries), 1 << 24)
