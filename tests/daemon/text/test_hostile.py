"""Documents made to do harm, or damaged at random: each is read, or refused with a sentence; nothing else."""

import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.daemon.text.books import (
    Book,
    Section,
    build_docx,
    build_epub,
    docx_entries,
    epub_entries,
    make_picture,
    page,
    word_body,
    word_p,
    write_zip,
)
from voiced.text.cleaning import clean
from voiced.text.document import Document
from voiced.text.documents import read_document
from voiced.text.plan import Limits, make_plan
from voiced_ipc.errors import DocumentRefused

_MAX_BYTES = 1 << 22
_SECTIONS = (Section("One", ("First, é.", "Second."), ("A note",), True), Section("Two", ("Third.",)))
_BOOK = Book(sections=_SECTIONS, cover=make_picture(size=(4, 4)))
_SECRET = "a secret of this machine"
_DEEP = 100_000

Changes = Mapping[str, str | bytes | None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, name: str, data: str | bytes) -> Document:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_document(path, _MAX_BYTES)


def read_html(folder: Path, body: str) -> Document:
    return read(folder, "a.html", body)


def read_epub_page(folder: Path, body: str) -> Document:
    return read_document(build_epub(folder / "a.epub", _BOOK, changes={"OEBPS/c1.xhtml": body}), _MAX_BYTES)


def read_word(folder: Path, main: str) -> Document:
    return read_document(
        build_docx(folder / "a.docx", _BOOK, changes={"word/document.xml": main}), _MAX_BYTES
    )


class TestMarkup:
    @pytest.mark.parametrize("where", ["page", "package", "contents", "word", "styles", "core"])
    def test_entities_neither_grow_nor_open_files(self, folder: Path, where: str) -> None:
        secret = folder / "secret"
        secret.write_text(_SECRET)
        laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(12))
        declared = f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}<!ENTITY f SYSTEM "file://{secret}"><!ENTITY % p SYSTEM "file://{secret}">%p;]>'
        used = "&l12;&f;"
        files = {
            "page": ("OEBPS/c1.xhtml", "<p>", "<p>"),
            "package": ("OEBPS/book.opf", "<dc:title>", "<dc:title>"),
            "contents": ("OEBPS/nav.xhtml", "One", ""),
            "word": ("word/document.xml", "One", ""),
            "styles": ("word/styles.xml", "<w:name", "<w:name"),
            "core": ("docProps/core.xml", "<dc:title>", "<dc:title>"),
        }
        name, old, new = files[where]
        is_word = name.startswith(("word", "doc"))
        content = str((docx_entries if is_word else epub_entries)(_BOOK)[name]).replace("<!DOCTYPE html>", "")
        head, _, rest = content.partition("?>")
        assert old in rest
        changes = {name: f"{head}?>{declared}{rest.replace(old, f'{new}{used}', 1)}"}
        path = folder / ("a.docx" if is_word else "a.epub")
        document = _read_or_refuse((build_docx if is_word else build_epub)(path, _BOOK, changes=changes))
        said = repr(document)
        assert _SECRET not in said
        assert "hahaha" not in said
        assert len(said) < 2000

    @pytest.mark.parametrize("reader", [read_html, read_epub_page])
    def test_elements_nested_beyond_reason(
        self, folder: Path, reader: Callable[[Path, str], Document]
    ) -> None:
        with pytest.raises(DocumentRefused, match="nested"):
            reader(folder, "<div>" * _DEEP + "deep" + "</div>" * _DEEP)

    def test_word_nested_beyond_reason(self, folder: Path) -> None:
        with pytest.raises(DocumentRefused, match="nested"):
            read_word(folder, word_body("<w:sdt>" * _DEEP + word_p("deep") + "</w:sdt>" * _DEEP))

    def test_markdown_nested_beyond_reason(self, folder: Path) -> None:
        with pytest.raises(DocumentRefused, match="nested"):
            read(folder, "a.md", "<div>" * 3000 + "deep")
        for opening in (">", "- ", "*", "[", "![", "`", "1. "):
            assert "deep" in read(folder, "a.md", opening * 3000 + "deep").text

    def test_markdown_in_one_endless_paragraph_is_read_as_it_stands(self, folder: Path) -> None:
        assert len(read(folder, "a.md", "[" * 1_000_000 + "deep").text) == 1_000_004

    def test_empty_elements_without_number(self, folder: Path) -> None:
        assert read_html(folder, "<b/>" * 100_000 + "said").text == "said"
        assert read_word(folder, word_body("<w:p/>" * 100_000 + word_p("said"))).text == "said"

    @pytest.mark.parametrize("name", ["a.html", "a.md", "a.txt", "a.xhtml"])
    def test_a_line_of_a_megabyte(self, folder: Path, name: str) -> None:
        assert len(read(folder, name, "word " * 200_000).text.strip()) == 999_999

    def test_a_picture_within_a_page_costs_nothing(self, folder: Path) -> None:
        assert read_html(folder, f"<img src='data:image/png;base64,{'A' * 2_000_000}'>said").text == "said"

    @pytest.mark.parametrize("reader", [read_html, read_epub_page])
    @pytest.mark.parametrize(
        "sign",
        ["&#xD800;", "&#0;", "&#x1F;", "&#x110000;", "&#99999999999999999999;", "&#xFFFF;", "\x0b", "\x00"],
    )
    def test_what_is_no_character(
        self, folder: Path, sign: str, reader: Callable[[Path, str], Document]
    ) -> None:
        text = reader(folder, page(f"<p>be{sign}fore</p><p>after</p>")).text
        assert text.encode().startswith(b"be")
        assert "fore" in text
        assert "after" in text

    def test_a_document_type_without_an_end(self, folder: Path) -> None:
        assert "said" in read_html(folder, "<!DOCTYPE x [" + "<!--" * 50_000 + "-->said").text
        assert "said" in read_html(folder, "<!DOCTYPE x ['\"><p>said").text


class TestKinds:
    @pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.docx", "a", "a.log"])
    def test_an_epub_by_another_name(self, folder: Path, name: str) -> None:
        path = build_epub(folder / "x.epub", _BOOK)
        with pytest.raises(DocumentRefused, match=r"EPUB.*\.epub"):
            read_document(path, _MAX_BYTES, name=name)

    def test_a_word_document_by_another_name(self, folder: Path) -> None:
        path = build_docx(folder / "x.docx", _BOOK)
        for name in ("a.txt", "a.epub"):
            with pytest.raises(DocumentRefused, match=r"Word.*\.docx"):
                read_document(path, _MAX_BYTES, name=name)

    @pytest.mark.parametrize("name", ["a.epub", "a.docx"])
    @pytest.mark.parametrize(
        ("data", "word"),
        [
            (b"Just text.", "plain text"),
            (b"%PDF-1.7", "PDF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "password"),
            (b"", "plain text"),
            (b"PK\x05\x06" + b"\0" * 18, "zip"),
        ],
    )
    def test_what_is_called_so_and_is_not(self, folder: Path, name: str, data: bytes, word: str) -> None:
        with pytest.raises(DocumentRefused, match=word):
            read(folder, name, data)

    @pytest.mark.parametrize(
        ("entries", "word"),
        [
            ({"a.txt": "x"}, "unpack"),
            ({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "x"}, "OpenDocument"),
            ({"[Content_Types].xml": "x", "xl/workbook.xml": "x"}, "spreadsheet"),
            ({"mimetype": "application/epub+zip"}, "package file"),
        ],
    )
    def test_other_archives(self, folder: Path, entries: Changes, word: str) -> None:
        path = write_zip(folder / "a.epub", {name: content or "" for name, content in entries.items()})
        with pytest.raises(DocumentRefused, match=word):
            read_document(path, _MAX_BYTES)

    def test_a_page_that_is_a_picture(self, folder: Path) -> None:
        with pytest.raises(DocumentRefused):
            read(folder, "a.html", make_picture())

    @pytest.mark.parametrize("name", ["a.html", "a.md"])
    @pytest.mark.parametrize("data", ["", " ", "<p></p>", "<!-- x -->", "\ufeff"])
    def test_nothing_to_say(self, folder: Path, name: str, data: str) -> None:
        with pytest.raises(DocumentRefused, match="nothing to say"):
            read(folder, name, data)

    def test_a_large_cover_costs_only_itself(self, folder: Path) -> None:
        cover = b"\x89PNG\r\n\x1a\n" + b"\0" * (64 << 20)
        document = read_document(
            build_epub(folder / "a.epub", _BOOK, changes={"OEBPS/cover.png": cover}), _MAX_BYTES
        )
        assert document.cover is None
        assert document.text.startswith("One")


# -- at random ------------------------------------------------------------------------------------------

_SIGNS = (
    *(
        b"<",
        b">",
        b"&",
        b'"',
        b"]]>",
        b"<!--",
        b"<![CDATA[",
        b"<?x",
        b"\0",
        b"\xff\xfe",
        b"&#xD800;",
        b"%00",
        b"../",
    ),
    *(b"#", b"\n\n", b"<!DOCTYPE x [", b"<table>", b"</p>", b"[[", b"|", b"---\n", "\u0301\u2028".encode()),
)
_PIECES = st.one_of(st.binary(min_size=1, max_size=6), st.sampled_from(_SIGNS))
_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.one_of(st.just(b""), _PIECES)), min_size=1, max_size=6
)


def _edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Return data where at each place (as a share) some bytes were replaced."""
    for share, taken, put in edits:
        place = int(share * len(data))
        data = data[:place] + put + data[place + taken :]
    return data


def _read_or_refuse(path: Path, name: str = "") -> Document | None:
    try:
        document = read_document(path, _MAX_BYTES, name=name)
    except DocumentRefused as error:
        if not error.message.endswith((".", ")")):
            pytest.fail(f"no sentence: {error.message}")
        return None
    starts = [chapter.start for chapter in document.chapters]
    assert starts == sorted(set(starts))
    assert clean(document.text) == document.text
    make_plan(document.text, language="en", limits=Limits(200), chapters=document.chapters)
    return document


def _packed(entries: Mapping[str, str | bytes]) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return made.getvalue()


_PAGE = page(
    "<ul><li>a<li>b</ul><table><tr><td>1<td>2</table><ol start='3'><li value='x'>q</ol><sup><a href='#x'>1</a></sup>"
    "<pre>x\n y</pre><h1>H<br>i</h1><ruby>a<rt>b</rt></ruby><q>z</q><math alttext='m'/><p id='z' hidden=''>&nbsp;&foo;"
)
_MARKDOWN = (
    "---\ntitle: x\nauthor: [a, {name: b}]\n---\n# T\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<div><b>x</div>"
    "\n\n[^1] *a* `c`\n\n[^1]: note\n\n> q\n1. x\n```\nz\n```\n"
)
_ZIPPED = {
    "2.epub": epub_entries(_BOOK, version=2),
    "3.epub": epub_entries(_BOOK, version=3),
    "a.docx": docx_entries(_BOOK),
}
_at_random = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(("name", "text"), [("a.html", _PAGE), ("a.md", _MARKDOWN), ("a.txt", _MARKDOWN)])
@_at_random
@given(_EDITS)
def test_a_damaged_text_raises_nothing_else(
    folder: Path, name: str, text: str, edits: list[tuple[float, int, bytes]]
) -> None:
    path = folder / name
    path.write_bytes(_edited(text.encode(), edits))
    _read_or_refuse(path)


@pytest.mark.parametrize("name", _ZIPPED)
@_at_random
@given(st.data(), _EDITS)
def test_a_damaged_entry_raises_nothing_else(
    folder: Path, name: str, data: st.DataObject, edits: list[tuple[float, int, bytes]]
) -> None:
    entries = dict(_ZIPPED[name])
    chosen = data.draw(st.sampled_from(sorted(entries)))
    content = entries[chosen]
    entries[chosen] = _edited(content.encode() if isinstance(content, str) else content, edits)
    path = folder / name
    path.write_bytes(_packed(entries))
    _read_or_refuse(path)


@pytest.mark.parametrize("name", _ZIPPED)
@_at_random
@given(_EDITS)
def test_a_damaged_archive_raises_nothing_else(
    folder: Path, name: str, edits: list[tuple[float, int, bytes]]
) -> None:
    path = folder / name
    path.write_bytes(_edited(_packed(_ZIPPED[name]), edits))
    _read_or_refuse(path)
