"""Markdown: what is said of it, and what its front matter tells."""

import pytest

from voiced.text.document import Document
from voiced.text.markdown import read_markdown
from voiced.text.plan import Chapter


def read(text: str) -> Document:
    return read_markdown(text, "name")


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("One *two*\nthree\n\nfour", "One two three\n\nfour"),
        ("a  \nb", "a\nb"),
        ("[link](http://x 'no') <http://example.org>", "link http://example.org"),
        ("![no](x) yes", "yes"),
        ("- apples\n- pears\n", "apples.\npears."),
        ("1. a\n2. b\n   - c", "1. a.\n2. b.\nc."),
        ("7. a\n8. b", "7. a.\n8. b."),
        ("> quoted\n> on", "quoted on"),
        ("```py\nx = 1\n\ny = 2\n```", "x = 1\n\ny = 2"),
        ("    indented code", "indented code"),
        ("a `b  c` d", "a b c d"),
        ("| A | B |\n|---|---|\n| 1 | `2` |", "A, B.\n1, 2."),
        ("a\n\n---\n\nb", "a\n\nb"),
        ("Said.[^1]\n\n[^1]: Not said.\n\nMore.", "Said.\n\nMore."),
        ("Said[^nowhere]", "Said[^nowhere]"),
        ("<div hidden>no</div>\n\nyes", "yes"),
        ("<p align=center>raw <b>text</b></p>", "raw text"),
        ("a<br>b <kbd>c</kbd> <!-- no --> d", "a\nb c d"),
        ("water H<sub>2</sub>O", "water H2O"),
        ("&amp; \\* &lt;b&gt;", "& * <b>"),
        ("\u202ea", "\u202ea"),
    ],
)
def test_texts(markdown: str, text: str) -> None:
    assert read(markdown).text == text


@pytest.mark.parametrize(
    "tag", ["<script>", "<div hidden>", "<textarea>", "<!--", "<svg>", "</div>", "<title>"]
)
def test_a_tag_that_is_not_closed_takes_no_other_block_with_it(tag: str) -> None:
    text = read(f"First {tag} of it.\n\n{tag}\nno\n\n</script>\n\n-->\n\nLast.").text
    assert text.startswith("First")
    assert "of it." in text
    assert text.endswith("Last.")


def test_what_is_nested_beyond_reason_is_read_as_it_stands() -> None:
    assert read("> " * 500 + "deep").text.endswith("deep")


def test_headings_make_chapters() -> None:
    document = read("# Book\n\n## One\n\na\n\nTwo\n---\n\n<h2>Three</h2>\n")
    assert document.title == "Book"
    assert document.chapters == (Chapter("One", 6), Chapter("Two", 14), Chapter("Three", 19))
    assert read("# One\n\n## no\n\n# Two").chapters == (Chapter("One", 0), Chapter("Two", 9))
    assert read("# One\n\n# Two").title == "name"


@pytest.mark.parametrize(
    ("front", "told"),
    [
        ("title: A\nauthor: B\nlang: de-AT", ("A", "B", "de-AT")),
        ("Title: 'A: x'\nauthors: [B, {name: C}, 3]\nlanguage: english", ("A: x", "B, C, 3", "")),
        ("title: 2024-99-99\nauthor:\n  - B", ("2024-99-99", "B", "")),
        ("title: [A]\nauthor: {x: y}", ("name", "", "")),
        ("- title", ("name", "", "")),
        ("title: 'A", ("name", "", "")),
        ("title: !!python/object/apply:os.getcwd []", ("name", "", "")),
        ("a: &a [x]\ntitle: *a", ("name", "", "")),
        ("[" * 3000, ("name", "", "")),
    ],
)
def test_front_matter(front: str, told: tuple[str, str, str]) -> None:
    document = read(f"---\n{front}\n---\n\nText.")
    assert (document.title, document.author, document.language) == told
    assert document.text == "Text."
