"""Pages: what is said of them, what is not, and how."""

import pytest

from voiced.text.document import Document
from voiced.text.html import read_page
from voiced.text.plan import Chapter


def read(body: str, *, head: str = "") -> Document:
    page = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"
    return read_page(page.encode(), "name")


def say(body: str) -> str:
    return read(body).text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>One <b>t</b>wo\n three</p><p>four", "One two three\n\nfour"),
        ("<div>a<p>b</p>c</div>d", "a\n\nb\n\nc\n\nd"),
        ("a<br>b<br/> c", "a\nb\nc"),
        ("a<br><br>b", "a\n\nb"),
        ("x<!-- no -->y<?no?>z", "xyz"),
        ("see <a href='#there'>there</a>", "see there"),
        ("<img src=a alt='no'>yes", "yes"),
        ("Fish &amp; chips &hellip; &#8364;5 &nosuch;", "Fish & chips … €5 &nosuch;"),
        ("soft&shy;ly <wbr>told", "softly told"),
        ("<pre>a  b\n   c</pre>", "a  b\n   c"),
        ("<p>the <code>x = 1</code> line", "the x = 1 line"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp>字<rt>ji</rt></ruby>", "漢字"),
        ("He said <q>no</q>.", "He said “no”."),
        ("<math alttext='x squared'><mi>x</mi></math>", "x squared"),
        ("H<sub>2</sub>O and m<sup>2</sup>", "H2O and m2"),
    ],
)
def test_texts(body: str, text: str) -> None:
    assert say(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<ul><li>apples<li>pears?</ul>", "apples.\npears?"),
        ("x<ul><li>a</ul><ul><li>b</ul>y", "x\n\na.\n\nb.\n\ny"),
        ("<ul><li>a<ul><li>b<li>c</ul><li>d</ul>", "a.\nb.\nc.\nd."),
        ("<ol><li>a<li><p>b<p>c</ol>", "1. a.\n2. b.\nc."),
        ("<ol start=4><li>a<li value=9>b<li>c</ol>", "4. a.\n9. b.\n10. c."),
        ("<ol reversed><li>a<li>b</ol>", "2. a.\n1. b."),
        ("<ol type=a><li>x<li>y</ol>", "a) x.\nb) y."),
        ("<ol start=-><li>a</ol>", "1. a."),
        ("<ol style='list-style: none'><li>a</ol>", "a."),
        ("<dl><dt>word<dd>meaning</dl>", "word.\nmeaning."),
        ("<table><caption>T</caption><tr><th>A<th>B<tr><td>1<td> 2 </table>", "T\n\nA, B.\n1, 2."),
        ("<table><tr><td>1<td></td><td><p>3</p></td></table>", "1, 3."),
        ("<table><tr><td>x<ul><li>a</ul></table>", "x\n\na."),  # it only arranges the page
        ("<table><tr><td><p>a</p><p>b</p></td></table>", "a\n\nb"),
        ("<table><tr><td><table><tr><td>1<td>2</table></table>", "1, 2."),
    ],
)
def test_lists_and_tables(body: str, text: str) -> None:
    assert say(body) == text


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>no</script>",
        "<style>no</style>",
        "<template>no</template>",
        "<nav>no</nav>",
        "<header>no</header>",
        "<footer>no</footer>",
        "<aside>no</aside>",
        "<form>no<button>no</button></form>",
        "<p hidden>no</p>",
        "<p aria-hidden=true>no</p>",
        "<p style='color:red; display : none'>no</p>",
        "<svg><title>no</title><text>no</text></svg>",
        "<video>no</video>",
        "<select><option>no</select>",
        "<sup><a href='#fn1'>1</a></sup>",
        "<a href='#fn1'><sup>[12]</sup></a>",
        "<a href='notes.html#fn1'>[3]</a>",
        "<sup id=r1><a href='#fn1'>*</a></sup>",
        "<section class='footnotes'><p>no</p></section>",
        "<a role='doc-noteref' href='#x'>1</a>",
        "<aside role='doc-footnote'>no</aside>",
        "<span role='doc-pagebreak'>12</span>",
    ],
)
def test_what_is_not_read(hidden: str) -> None:
    assert say(f"yes{hidden}<p>and</p>").split() == ["yes", "and"]


@pytest.mark.parametrize(
    "said",
    [
        "<article><header>Said</header></article>",
        "<main><footer>Said</footer></main>",
        "<a href='#chapter'>Said</a>",
        "<sup>Said</sup>",
        "<sup><a href='http://example.org/'>Said</a></sup>",
        "<sup><a href='#x'>Said by many people</a></sup>",
    ],
)
def test_what_is_like_it_and_read(said: str) -> None:
    assert "Said" in say(f"<p>{said}")


def test_a_page_that_is_nothing_but_a_form_is_read() -> None:
    assert say("<form><p>All of it.</p></form>") == "All of it."


def test_what_a_page_says_of_itself() -> None:
    page = b"<html lang=de_AT><head><title> A\n page </title><meta name=Author content=' Ada  B '></head><h1>Top</h1>x"
    document = read_page(page, "name")
    assert (document.title, document.author, document.language) == ("A page", "Ada B", "de-AT")


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (b"<h1>Top <i>of</i> it</h1>x", "Top of it"),
        (b"<svg><title>no</title></svg>x", "name"),
        (b"<title></title>x", "name"),
    ],
)
def test_the_title_is_the_pages_then_its_headings_then_its_files(page: bytes, title: str) -> None:
    assert read_page(page, "name").title == title


def test_headings_make_chapters_where_they_stand() -> None:
    document = read("<h1>T</h1><h2>One<br>more</h2>a<h2><div>Two</div><div>more</div></h2>b")
    assert document.text == "T\n\nOne\nmore\n\na\n\nTwo\nmore\n\nb"
    assert document.chapters == (Chapter("One more", 3), Chapter("Two more", 16))


def test_a_heading_that_was_never_closed_is_none() -> None:
    document = read("<h1>" + "long " * 100)
    assert document.chapters == ()
    assert len(document.text) == 499


@pytest.mark.parametrize(
    "page",
    [
        "\ufeff<p>Grüße".encode(),
        "<p>Grüße".encode("utf-16"),
        "<meta charset=latin1><p>Grüße".encode("cp1252"),
        "<meta charset=latin1><p>Grüße".encode(),  # it lies
        "<meta charset=utf-8><p>Grüße".encode("cp1252"),  # so does this one
        '<?xml version="1.0" encoding="iso-8859-1"?><html><p>Grüße</p></html>'.encode("cp1252"),
        '<?xml version="1.0" encoding="utf-16"?><html><p>Grüße</p></html>'.encode(),
        "<meta charset=nonsense><p>Grüße".encode("cp1252"),
    ],
)
def test_encodings(page: bytes) -> None:
    assert read_page(page, "name").text == "Grüße"


@pytest.mark.parametrize(
    "page",
    [
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x"/></head>'
        "<body><p>A<a id='x'/>&nbsp;B</p><p>C</p></body></html>",
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x"/></head>'
        "<body><p>A<a id='x'/>&nbsp;B<br><p>C</body></html>",
        '<h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:p>A&#160;B</h:p><h:p>C</h:p></h:html>',
    ],
)
def test_xhtml_is_read_whole_and_broken(page: str) -> None:
    assert read_page(page.encode(), "name").text == "A\xa0B\n\nC"
