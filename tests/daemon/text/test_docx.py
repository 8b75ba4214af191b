"""Word documents: what is said of them with all changes accepted, and what is not."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.daemon.text.books import Book, Section, build_docx, word_body, word_p, word_part
from voiced.text.document import Document
from voiced.text.documents import read_document
from voiced.text.plan import Chapter
from voiced_ipc.errors import DocumentRefused

_NUMBERS = word_part(
    "numbering",
    '<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/>'
    '<w:lvlText w:val="%1."/></w:lvl><w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/>'
    '</w:lvl></w:abstractNum><w:abstractNum w:abstractNumId="8"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/>'
    '<w:lvlText w:val="·"/></w:lvl></w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="8"/></w:num>',
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, body: str, changes: Mapping[str, str | bytes | None] | None = None) -> Document:
    whole = {"word/document.xml": word_body(body), **(changes or {})}
    return read_document(build_docx(folder / "name.docx", Book(), changes=whole), 1 << 20)


def run(text: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr><w:t>{text}</w:t></w:r>"


def item(text: str, number: int, depth: int = 0) -> str:
    return word_p(text, properties=f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>')


def test_a_document(tmp_path: Path) -> None:
    sections = (Section("Am Meer", ("Eins.", "Zwei."), ("Nicht.",)), Section("Im Tal", ("Drei.",)))
    document = read_document(build_docx(tmp_path / "x.docx", Book("Buch", "Ada", "de", sections)), 1 << 20)
    assert document == Document(
        "Buch",
        "Am Meer\n\nEins.\n\nZwei.\n\nIm Tal\n\nDrei.",
        (Chapter("Am Meer", 0), Chapter("Im Tal", 23)),
        "Ada",
        "de",
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<w:p>{run('a')}<w:r><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>", "a b\nc"),
        (
            f"<w:p><w:ins>{run('new')}</w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>",
            "new",
        ),
        (f"<w:p><w:del>{run('old')}</w:del><w:moveFrom>{run('old')}</w:moveFrom>{run('x')}</w:p>", "x"),
        (f"<w:p><w:hyperlink>{run('link')}</w:hyperlink><w:smartTag>{run('s')}</w:smartTag></w:p>", "links"),
        (f"<w:p>{run('no', '<w:vanish/>')}{run('yes', '<w:vanish w:val=&quot;0&quot;/>')}</w:p>", "yes"),
        (
            "<w:p><w:r><w:instrText> PAGE </w:instrText></w:r><w:fldSimple><w:r><w:t>7</w:t></w:r></w:fldSimple></w:p>",
            "7",
        ),
        (
            f"<w:p><w:r><w:ruby><w:rt>{run('kan')}</w:rt><w:rubyBase>{run('漢')}</w:rubyBase></w:ruby></w:r></w:p>",
            "漢",
        ),
        (f"<w:sdt><w:sdtContent>{word_p('kept')}</w:sdtContent></w:sdt>", "kept"),
        (
            f"<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>{word_p('no')}</w:sdtContent></w:sdt>{word_p('y')}",
            "y",
        ),
        (word_p("Chapter One 3", style="Verzeichnis1") + word_p("y"), "y"),
    ],
)
def test_texts(folder: Path, body: str, text: str) -> None:
    assert read(folder, body.replace("&quot;", '"')).text == text


def test_lists_have_their_numbers(folder: Path) -> None:
    body = "".join((word_p("x"), item("a", 1), item("b", 1, 1), item("c", 1, 1), item("d", 1), word_p("y")))
    other = "".join((item("e", 2), item("f", 2), word_p("z"), item("g", 1), item("h", 9)))
    text = read(folder, body + other, {"word/numbering.xml": _NUMBERS}).text
    assert text == "x\n\n3. a.\n3.a) b.\n3.b) c.\n4. d.\n\ny\n\ne.\nf.\n\nz\n\n5. g.\nh."


def test_tables_are_read_row_by_row(folder: Path) -> None:
    def row(*cells: str, properties: str = "") -> str:
        return f"<w:tr>{properties}" + "".join(f"<w:tc>{word_p(cell)}</w:tc>" for cell in cells) + "</w:tr>"

    deleted = row("no", "no", properties="<w:trPr><w:del/></w:trPr>")
    table = f"<w:tbl><w:tblPr/>{row('A', 'B')}{deleted}{row('1', '')}</w:tbl>"
    assert read(folder, word_p("x") + table + word_p("y")).text == "x\n\nA, B.\n1.\n\ny"
    assert read(folder, f"<w:tbl>{row('A')}{row('B')}</w:tbl>").text == "A\n\nB"  # it only arranges the page


def test_a_text_box_is_read_once_after_its_paragraph(folder: Path) -> None:
    box = f"<w:txbxContent>{word_p('box')}</w:txbxContent>"
    both = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    body = f"<w:p>{run('be')}<w:r>{both}</w:r>{run('fore')}</w:p>{word_p('after')}"
    main = word_body(body).replace("<w:document ", '<w:document xmlns:mc="urn:mc" ')
    assert read(folder, "", {"word/document.xml": main}).text == "before\n\nbox\n\nafter"
    only = main.replace(f"<mc:Choice>{box}</mc:Choice>", "")
    assert read(folder, "", {"word/document.xml": only}).text == "before\n\nbox\n\nafter"


def test_the_title_stands_over_the_headings(folder: Path) -> None:
    body = (
        word_p("Book", style="Titel")
        + word_p("One", style="berschrift1")
        + word_p("a")
        + word_p("Two", properties='<w:outlineLvl w:val="0"/>')
    )
    document = read(folder, body, {"docProps/core.xml": None})
    assert (document.title, document.author, document.language) == ("Book", "", "")
    assert document.chapters == (Chapter("One", 6), Chapter("Two", 14))
    assert read(folder, word_p("x"), {"docProps/core.xml": b"\0damaged"}).title == "name"


def test_a_ring_of_styles_ends(folder: Path) -> None:
    ring = '<w:style w:styleId="A"><w:basedOn w:val="A"/></w:style>'
    assert read(folder, word_p("x", style="A"), {"word/styles.xml": word_part("styles", ring)}).text == "x"


def test_without_styles_lists_and_the_rest_the_text_is_read(folder: Path) -> None:
    rest: dict[str, str | bytes | None] = dict.fromkeys(
        ("word/styles.xml", "docProps/core.xml", "word/footnotes.xml", "_rels/.rels")
    )
    assert read(folder, word_p("x", style="berschrift1"), rest).text == "x"


def test_the_main_part_may_be_elsewhere(folder: Path) -> None:
    relations = (
        '<Relationships><Relationship Type="http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument" '
        'Target="/word/document2.xml"/></Relationships>'
    )
    main = word_body(word_p("strict")).replace(
        "schemas.openxmlformats.org/wordprocessingml/2006", "purl.oclc.org/ooxml"
    )
    assert read(folder, "no", {"_rels/.rels": relations, "word/document2.xml": main}).text == "strict"


@pytest.mark.parametrize("main", [None, b"", b"<w:document", b"<x/>", b"\0\1\2\3" * 100])
def test_a_document_without_its_text_is_refused(folder: Path, main: bytes | None) -> None:
    with pytest.raises(DocumentRefused):
        read(folder, "", {"word/document.xml": main})
