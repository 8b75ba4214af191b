"""The segment plan: tables for languages and layouts, properties for every text."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import time
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiced.segments import Break, covers, pack_plan, unpack_plan
from voiced.text.plan import Chapter, Limits, is_silent, make_plan, truncate

_ALPHABET = (
    "ab Dr.!?,;:\"'()“”«»。！？、，「」と"
    "\n\t\r\x0b\x0c\x85\u2028\u2029\u00a0\u3000\u200d\u0301😀👩🏽🇩🇪1-–—…।؟é한नि्मस"
)
_texts = st.one_of(
    st.text(_ALPHABET, max_size=200), st.text(max_size=80).filter(lambda text: text.isprintable())
)
_languages = st.sampled_from(["en", "de-DE", "fr", "zh", "ja", "ko", "ar", "hi", "ru", "tr", "xx", ""])


def parts(text: str, language: str = "en", max_chars: int = 400, first: int = 0) -> list[str]:
    plan = make_plan(text, language=language, limits=Limits(max_chars, first))
    assert covers(plan)
    return [text[segment.start : segment.end] for segment in plan.segments]


def breaks(text: str, max_chars: int = 400, first: int = 0) -> list[Break]:
    plan = make_plan(text, language="en", limits=Limits(max_chars, first))
    return [segment.after for segment in plan.segments]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. Smith paid $3.50, e.g. for tea. ", '"Is it?" he asked... ', "Yes!"]),
        ("en", ["The U.S. Army came at 5 p.m. ", "He left."]),
        ("en-GB", ["Mr. Bond is here. ", "Good."]),
        ("de", ["Das ist z. B. gut. ", "Am 3. Mai kam Dr. Müller. ", "Ende."]),
        ("fr", ["Bonjour M. Dupont. ", "Ça va ? ", "« Oui ! » ", "Bien."]),
        ("zh", ["你好。", "今天天气很好！", "我们去吧？", "好的。"]),
        ("ja", ["こんにちは。", "今日は「いい天気です。」と言った。", "はい。"]),
        ("ar", ["مرحبا. ", "كيف حالك؟ ", "أنا بخير."]),
        ("hi", ["नमस्ते। ", "आप कैसे हैं? ", "मैं ठीक हूँ।"]),
        ("ru", ["Привет. ", "Как дела? ", "Хорошо!"]),
        ("ko", ["안녕하세요. ", "반갑습니다."]),
        ("es", ["¿Qué tal? ", "¡Muy bien! ", "Gracias."]),
        ("pl", ["To jest np. dobre. ", "Koniec."]),
        ("it", ["Ciao, come stai? ", "Bene."]),
        ("pt", ["O Sr. Silva veio. ", "Sim."]),
        ("tr", ["Merhaba. ", "Nasılsın?"]),
    ],
)
def test_a_sentence_is_a_segment(language: str, sentences: list[str]) -> None:
    assert parts("".join(sentences), language) == sentences


def test_paragraphs_and_the_end_have_their_own_breaks() -> None:
    text = "One. Two.\n\nThree.\n \n\nFour."
    assert parts(text) == ["One. ", "Two.\n\n", "Three.\n \n\n", "Four."]
    assert breaks(text) == [Break.SENTENCE, Break.PARAGRAPH, Break.PARAGRAPH, Break.END]


def test_white_space_at_the_beginning_belongs_to_the_first_segment() -> None:
    assert parts(" \n\n  One. Two. \n") == [" \n\n  One. ", "Two. \n"]


def test_a_wrapped_line_goes_on() -> None:
    text = (
        "This paragraph was wrapped by an editor at forty\ncharacters and goes on here until its end\ncomes."
    )
    assert parts(text) == [text]


def test_verse_and_headings_end_with_their_lines() -> None:
    text = "The Raven\nAnd the raven never flitting, still is sitting, still is sitting\nOn the pallid bust"
    assert parts(text)[0] == "The Raven\n"


def test_list_items_are_segments_and_keep_their_numbers() -> None:
    text = "Buy these:\n1. Some milk\n2. Bread. And butter\n- tea\n"
    assert parts(text) == ["Buy these:\n", "1. Some milk\n", "2. Bread. ", "And butter\n", "- tea\n"]


def test_unwrapped_text_has_a_paragraph_a_line() -> None:
    long_line = "word " * 60 + "end."
    assert breaks(f"{long_line}\nshort line\nanother") == [Break.PARAGRAPH, Break.PARAGRAPH, Break.END]


def test_what_has_nothing_to_say_joins_its_neighbour() -> None:
    assert parts("One.\n\n* * *\n\nTwo.") == ["One.\n\n* * *\n\n", "Two."]
    assert parts("---\n\nOne.") == ["---\n\nOne."]
    assert breaks("One.\n\n***") == [Break.END]


@pytest.mark.parametrize("text", [" ", "...", "\n\n", "—", "***\n\n---"])
def test_a_text_without_words_is_one_silent_segment(text: str) -> None:
    plan = make_plan(text, language="en", limits=Limits(400))
    assert [segment.spoken for segment in plan.segments] == [""]


@pytest.mark.parametrize(
    ("text", "silent"), [("…!", True), ("a", False), ("7", False), ("€", False), ("😀", False)]
)
def test_is_silent(text: str, silent: bool) -> None:
    assert is_silent(text) is silent


def test_no_text_has_no_segment() -> None:
    assert make_plan("", language="en", limits=Limits(400)).segments == ()


def test_chapters() -> None:
    text = "Preface.\n\nOne. More.\n\nTwo."
    chapters = [Chapter("First", text.index("One")), Chapter("Second", text.index("Two"))]
    plan = make_plan(text, language="en", limits=Limits(400), chapters=chapters)
    assert plan.chapters == ("First", "Second")
    assert [(segment.after, segment.chapter) for segment in plan.segments] == [
        (Break.CHAPTER, 0),
        (Break.SENTENCE, 0),
        (Break.CHAPTER, 0),
        (Break.END, 1),
    ]
    assert unpack_plan(pack_plan(plan)) == plan


# -- over-long sentences ------------------------------------------------------------------------------


def test_an_over_long_sentence_ends_at_a_clause() -> None:
    text = "It was a bright cold day in April, and the clocks were striking thirteen."
    assert parts(text, max_chars=50) == [
        "It was a bright cold day in April, ",
        "and the clocks were striking thirteen.",
    ]
    assert breaks(text, max_chars=50) == [Break.CLAUSE, Break.END]


@pytest.mark.parametrize(
    ("language", "first"),
    [("zh", "老人慢慢地走到港口，"), ("ja", "老人は港まで歩き、")],
)
def test_clause_marks_without_spaces(language: str, first: str) -> None:
    assert parts(first + "看着那些船停在那里不动", language, 15)[0] == first


def test_a_clause_mark_may_be_the_last_character_allowed() -> None:
    assert parts("one two three, four five six seven", max_chars=14)[0] == "one two three, "
    assert parts("老人慢慢地走到港口，看着那些船", "zh", 10)[0] == "老人慢慢地走到港口，"


def test_numbers_are_no_clauses() -> None:
    assert (
        parts("He paid 3,500 at 10:30 and went away again", max_chars=30)[0] == "He paid 3,500 at 10:30 and "
    )


def test_a_long_quotation_ends_at_its_sentences() -> None:
    text = '"I went there. You stayed here. They came back," she said'
    assert parts(text, max_chars=32) == ['"I went there. You stayed here. ', 'They came back," she said']
    assert breaks(text, max_chars=32) == [Break.SENTENCE, Break.END]


def test_without_a_clause_the_last_space_cuts() -> None:
    text = "one two three four five six seven"
    assert parts(text, max_chars=15) == ["one two three ", "four five six ", "seven"]
    assert breaks(text, max_chars=15) == [Break.NONE, Break.NONE, Break.END]


def test_a_word_beyond_the_limit_is_cut_between_characters_as_people_see_them() -> None:
    family = "👩‍👩‍👧"
    assert parts("e\u0301" * 6, max_chars=5) == ["e\u0301" * 2] * 3
    assert parts(family * 2, max_chars=7) == [family, family]
    assert parts("🇩🇪🇫🇷🇮🇹", max_chars=3) == ["🇩🇪", "🇫🇷", "🇮🇹"]
    assert parts("क्षक्षक्ष", "hi", 4) == ["क्ष", "क्ष", "क्ष"]
    assert parts("a" + "\u0301" * 9, max_chars=4) == ["a" + "\u0301" * 3, "\u0301" * 4, "\u0301" * 2]


def test_great_white_space_is_cut_off() -> None:
    plan = make_plan("One" + " " * 1000, language="en", limits=Limits(100))
    assert [(segment.end - segment.start, segment.spoken) for segment in plan.segments] == [
        (3, None),
        (1000, ""),
    ]


# -- the first segment --------------------------------------------------------------------------------


def test_the_first_segment_ends_at_its_first_clause() -> None:
    text = "It was a bright cold day in April, and the clocks were striking thirteen, and so he went in at once. Two."
    assert parts(text, first=80)[:2] == ["It was a bright cold day in April, ", text[35:-4]]
    assert breaks(text, first=80) == [Break.CLAUSE, Break.SENTENCE, Break.END]
    assert len(parts(text)) == 2


def test_a_short_first_sentence_stays_whole() -> None:
    assert parts("Hello, my world. And more.", first=80)[0] == "Hello, my world. "


def test_a_first_clause_of_one_word_is_too_short() -> None:
    text = "Well, " + "it was a bright cold day, " + "x" * 80
    assert parts(text, first=80)[0] == "Well, it was a bright cold day, "


def test_without_a_short_first_clause_the_sentence_stays_whole() -> None:
    text = "word " * 30 + "end."
    assert parts(text, first=80) == [text]


# -- truncation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limit", "result"),
    [
        ("short", 10, "short"),
        ("one two three", 8, "one two"),
        ("one two three four", 15, "one two three"),
        ("one two three", 13, "one two three"),
        ("one twothreefour", 10, "one twothr"),
        ("", 5, ""),
        ("abcd e\u0301e\u0301e\u0301e\u0301", 8, "abcd e\u0301"),
    ],
)
def test_truncate(text: str, limit: int, result: str) -> None:
    assert truncate(text, limit) == result


@settings(deadline=None)
@given(_texts, st.integers(1, 60))
def test_truncated_text_is_a_beginning_within_the_limit(text: str, limit: int) -> None:
    result = truncate(text, limit)
    assert text.startswith(result)
    assert len(result) <= limit


# -- every text ---------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(_texts, _languages, st.integers(1, 60), st.sampled_from([0, 20, 80]))
def test_every_plan(text: str, language: str, max_chars: int, first: int) -> None:
    limits = Limits(max_chars, first)
    plan = make_plan(text, language=language, limits=limits)
    assert covers(plan)
    data = text.encode()
    for segment in plan.segments:
        content = text[segment.start : segment.end]
        assert data[segment.byte_start : segment.byte_end].decode() == content
        assert segment.spoken == "" or len(content.strip()) <= max_chars
        assert (segment.spoken == "") == is_silent(content)
    assert [segment.after is Break.END for segment in plan.segments].count(True) == bool(text)
    assert make_plan(text, language=language, limits=limits) == plan
    assert unpack_plan(pack_plan(plan)) == plan


@settings(deadline=None)
@given(st.lists(st.text("abcé", min_size=1, max_size=12), min_size=1), st.integers(12, 40))
def test_no_word_within_the_limit_is_cut(words: list[str], max_chars: int) -> None:
    text = " ".join(words)
    assert "".join(parts(text, max_chars=max_chars)) == text
    assert " ".join(parts(text, max_chars=max_chars)).split() == words


_CHARACTERS = ["a", "1", "e\u0301", "👩🏽", "👩\u200d👩\u200d👧", "🇩🇪", "क्ष", "নি", "각", "老", " ", "\u2014"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_CHARACTERS)), st.integers(5, 20))
def test_no_character_as_people_see_it_is_cut(characters: list[str], max_chars: int) -> None:
    borders = list(accumulate(map(len, characters)))
    places = list(accumulate(map(len, parts("".join(characters), max_chars=max_chars))))
    assert set(places) <= set(borders)


def test_limits_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="max_chars"):
        make_plan("text", language="en", limits=Limits(0))


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        make_plan("a\ud800", language="en", limits=Limits(400))


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "word ",
        "a, ",
        "“",
        '"a. b" ',
        "你好。",
        "\n",
        "a\n",
        "A\n",
        ". ",
        " ",
        "a\u0301\u0301",
        "👩‍👩‍👧",
        "(a ",
        "🇩",
    ],
)
def test_time_grows_with_the_length_only(piece: str) -> None:
    """Ten times the text may take far more than ten times as long only if something is quadratic: then a hundred."""
    short, long = piece * (10_000 // len(piece)), piece * (100_000 // len(piece))
    make_plan(short, language="en", limits=Limits(400, 80))
    assert _cpu_s(long) < 40 * _cpu_s(short) + 0.05


def _cpu_s(text: str) -> float:
    start = time.process_time()
    make_plan(text, language="en", limits=Limits(400, 80))
    return time.process_time() - start
