"""Blocks to one text: what separates them, where anchors and chapters are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.text import blocks as blocks_module
from voiced.text.blocks import (
    Anchor,
    Block,
    as_sentence,
    assemble,
    chapters_by_headings,
    make_block,
    settle_chapters,
)
from voiced.text.cleaning import clean
from voiced.text.plan import Chapter
from voiced_ipc.errors import DocumentRefused

_pieces = st.lists(st.text("ab \n\té\u0301\u00ad.漢", max_size=6), max_size=6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("apples", "apples."),
        ("apples.", "apples."),
        ("“Who?”", "“Who?”"),
        ("“Who”", "“Who”."),
        ("these:", "these:"),
        ("苹果", "苹果。"),
        ("リンゴ", "リンゴ。"),
        ("सेब", "सेब।"),
        ("***", "***"),
        ("", ""),
    ],
)
def test_an_item_ends_as_a_sentence(text: str, sentence: str) -> None:
    assert as_sentence(text) == sentence
    assert as_sentence(sentence) == sentence


def test_lines_of_one_list_stand_together() -> None:
    lines = [Block("A"), Block("b.", group=1), Block("c.", group=1), Block("d.", group=2), Block("E")]
    assert assemble(lines).text == "A\n\nb.\nc.\n\nd.\n\nE"


def test_a_mark_before_a_text_is_at_its_beginning() -> None:
    made = assemble(
        [Block("", anchors=(Anchor("x", 0),)), Block("A"), Block("", anchors=(Anchor("y", 0),)), Block("B")]
    )
    assert made.anchors == {"x": 0, "y": 3}


def test_the_first_of_two_equal_marks_holds() -> None:
    assert assemble(
        [Block("A", anchors=(Anchor("x", 0),)), Block("B", anchors=(Anchor("x", 0),))]
    ).anchors == {"x": 0}


def test_a_mark_within_a_paragraph_is_exact_and_within_a_heading_at_its_beginning() -> None:
    block = make_block([" One ", "two"], [(1, "x"), (2, "end")])
    assert block == Block("One two", anchors=(Anchor("x", 4), Anchor("end", 7)))
    assert make_block(["One ", "two"], [(1, "x")], level=1).anchors == (Anchor("x", 0),)


@given(_pieces, st.lists(st.integers(0, 6), max_size=3).map(sorted))
def test_a_block_is_clean_and_its_marks_are_within(pieces: list[str], places: list[int]) -> None:
    block = make_block(pieces, [(min(place, len(pieces)), "x") for place in places])
    assert clean(block.text).strip() == block.text
    offsets = [anchor.offset for anchor in block.anchors]
    assert offsets == sorted(offsets)
    assert all(0 <= offset <= len(block.text) for offset in offsets)


@given(st.lists(st.tuples(st.sampled_from(["", "One", "Two words"]), st.integers(0, 3), st.integers(0, 2))))
def test_chapters_are_in_order_and_begin_with_a_text(rows: list[tuple[str, int, int]]) -> None:
    manuscript = assemble(Block(text, level, 0 if level else group) for text, level, group in rows)
    chapters = chapters_by_headings(manuscript, "Title")
    starts = [chapter.start for chapter in chapters]
    assert starts == sorted(set(starts))
    assert all(
        manuscript.text[start].strip() and chapter for start, chapter in zip(starts, chapters, strict=True)
    )


@pytest.mark.parametrize(
    ("levels", "titles"),
    [
        ("11", ["h0", "h1"]),
        ("1", ["h0"]),
        ("122", ["h1", "h2"]),
        ("22", ["h0", "h1"]),
        ("1212", ["h0", "h2"]),
        ("0", []),
        ("33", []),
        ("102", ["T", "h2"]),  # what stands before the first chapter is one
        ("01", ["T", "h1"]),
    ],
)
def test_headings_make_chapters(levels: str, titles: list[str]) -> None:
    manuscript = assemble(Block(f"h{number}", int(level)) for number, level in enumerate(levels))
    assert [chapter.title for chapter in chapters_by_headings(manuscript, "T")] == titles


def test_a_chapter_without_a_title_has_its_number() -> None:
    manuscript = assemble([Block("One"), Block("Two")])
    chapters = settle_chapters(
        [Chapter("", 5), Chapter("A", 0), Chapter("B", 0), Chapter("C", 99)], manuscript, "T"
    )
    assert chapters == (Chapter("A", 0), Chapter("2", 5))


def test_a_text_beyond_every_book_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "MOST_CHARS", 10)
    assert assemble([Block("12345678")]).text
    with pytest.raises(DocumentRefused, match="more than 10 characters"):
        assemble([Block("12345678"), Block("9")])
