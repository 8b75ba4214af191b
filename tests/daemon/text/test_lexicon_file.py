"""`lexicon.toml`: what a bad file costs, and that a change leaves the rest as it was."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.text.lexicon import Entry, check
from voiced.text.lexicon_file import (
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_PROBLEMS,
    LexiconFile,
    parse_lexicon,
    read_lexicon,
    with_entry,
    without_entries,
)

GOOD = '# mine\n[[entry]]\nword = "voiced"\nspoken = "voist"\n\n'


def test_a_good_file_has_no_problem() -> None:
    text = GOOD + '[[entry]]\nword = "SQL"\nspoken = "sequel"\nlanguage = "en"\ncase = "fold"\n'
    lexicon, problems = parse_lexicon(text)
    assert not problems
    assert lexicon.entries == (Entry("voiced", "voist"), Entry("SQL", "sequel", "en", "fold"))
    assert parse_lexicon("")[1] == ()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('[[entry]]\nword = "x"\n', ["entry 2", "'x'", "spoken is missing"]),
        ('[[entry]]\nspoken = "x"\n', ["entry 2", "word is missing"]),
        ('[[entry]]\nword = " "\nspoken = "x"\n', ["1 to 100"]),
        ('[[entry]]\nword = "a\\nb"\nspoken = "x"\n', ["one line"]),
        ('[[entry]]\nword = "a"\nspoken = 3\n', ["spoken is no text in quotes"]),
        ('[[entry]]\nword = "a"\nspoken = "b"\nlanguage = "x y"\n', ["'x y'", "BCP 47"]),
        ('[[entry]]\nword = "a"\nspoken = "b"\ncase = "lower"\n', ["'lower'", "fold or exact"]),
        ('[[entry]]\nword = "a"\nspoken = "b"\nregex = "lower"\n', ["regex", "word, spoken"]),
        ('[[entry]]\nword = "VOICED"\nspoken = "b"\ncase = "fold"\n', ["twice", "last one"]),
        (f'[[entry]]\nword = "a"\nspoken = "{"b" * 201}"\n', ["at most 200"]),
        ('[[entry]]\nword = "a\nspoken = "b"\n', ["line 6", "no TOML", "left out"]),
        ("[[entry]]\nword word\n", ["line 6", "no TOML"]),
        ("[other]\n", ["other", "[[entry]]"]),
    ],
)
def test_one_bad_entry_costs_itself_alone(bad: str, words: list[str]) -> None:
    for text in (GOOD + bad, GOOD + bad + '[[entry]]\nword = "fine"\nspoken = "good"\n'):
        lexicon, problems = parse_lexicon(text)
        assert len(problems) == 1
        for word in words:
            assert word in str(problems[0])
        assert lexicon.entries[0].word.lower() == "voiced"
        assert lexicon.spoken("fine", "en") == ("good" if "fine" in text else None)


@pytest.mark.parametrize(
    "text", ["entry = 3", "entry = {word = 1}", "entry = [3]", "\x00", "[" * 5000, "=", "[[entry]]"]
)
def test_rubbish_is_a_problem_and_no_entry(text: str) -> None:
    lexicon, problems = parse_lexicon(text)
    assert lexicon.entries == ()
    assert problems


def test_entries_and_problems_are_bounded() -> None:
    many = "".join(f'[[entry]]\nword = "w{n}"\nspoken = "x"\n' for n in range(MAX_ENTRIES + 5))
    lexicon, problems = parse_lexicon(many)
    assert len(lexicon.entries) == MAX_ENTRIES
    assert len(problems) == 1
    _, problems = parse_lexicon("[[entry]]\n" * 100)
    assert len(problems) == MAX_PROBLEMS + 1
    assert "80 more" in str(problems[-1])


def test_reading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.toml"
    assert read_lexicon(path)[0].entries == ()
    assert read_lexicon(path)[1] == ()
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_lexicon(path)[0].spoken("voiced", "en") == "voist"
    path.write_text(GOOD + "[[entry]]")
    assert read_lexicon(path)[1] == (f"{path}: entry 2: word is missing",)
    for data in (b"\xff", b"#" * (MAX_FILE_BYTES + 1)):
        path.write_bytes(data)
        lexicon, (problem,) = read_lexicon(path)
        assert lexicon.entries == ()
        assert problem.startswith(f"{path}: cannot be read (")
    path.unlink()
    path.mkdir()
    assert "cannot be read" in read_lexicon(path)[1][0]


def test_a_file_is_read_again_only_where_it_has_changed(tmp_path: Path) -> None:
    path, file = tmp_path / "lexicon.toml", LexiconFile()
    assert file.get(path).entries == ()
    path.write_text(GOOD)
    first = file.get(path)
    assert first.spoken("voiced", "en") == "voist"
    assert file.get(path) is first
    path.write_text(GOOD.replace("voist", "changed"))
    assert file.get(path).spoken("voiced", "en") == "changed"
    path.unlink()
    assert file.get(path).entries == ()


@given(st.text(max_size=200))
def test_no_file_stops_the_reader(text: str) -> None:
    parse_lexicon(text)
    parse_lexicon(GOOD + text)


# -- changing it --------------------------------------------------------------------------------------


def test_an_entry_is_added_at_the_end_and_comments_stay() -> None:
    text = with_entry(GOOD + "# the end", Entry('a"b\\', "c", "de"))
    assert text == GOOD + '# the end\n\n[[entry]]\nword = "a\\"b\\\\"\nspoken = "c"\nlanguage = "de"\n'
    assert with_entry("", Entry("a", "")) == '[[entry]]\nword = "a"\nspoken = ""\n'


def test_an_entry_replaces_the_one_that_says_the_same() -> None:
    text = with_entry(
        GOOD + '# about b\n[[entry]]\nword = "b"\nspoken = "c"\n', Entry("Voiced", "X", "", "fold")
    )
    lexicon, problems = parse_lexicon(text)
    assert not problems
    assert lexicon.entries == (Entry("b", "c"), Entry("Voiced", "X", "", "fold"))
    assert text.startswith('# mine\n# about b\n[[entry]]\nword = "b"')


def test_entries_go_and_what_is_damaged_stays() -> None:
    bad = "[[entry]]\nword = \n# mend me\n"
    text = GOOD + bad + '[[entry]]\nword = "b"\nspoken = "c"'
    assert without_entries(text, lambda entry: entry.word == "b") == GOOD + bad
    assert without_entries(text, lambda entry: entry.word == "voiced") == "# mine\n" + text.removeprefix(GOOD)
    assert without_entries(text, lambda entry: False) == text


_strings = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8).map(
    lambda text: unicodedata.normalize("NFC", text)
)
_entries = st.builds(
    Entry,
    _strings,
    _strings,
    st.sampled_from(["", "en", "zh-Hant"]),
    st.sampled_from(["", "fold", "exact"]),
).filter(lambda entry: not check(entry))


@given(st.lists(_entries, max_size=6))
def test_what_is_added_is_read_again(entries: list[Entry]) -> None:
    text = ""
    for entry in entries:
        text = with_entry(text, entry)
    lexicon, problems = parse_lexicon(text)
    assert not problems
    assert set(lexicon.entries) == set({entry.key: entry for entry in entries}.values())
    for entry in entries:
        text = without_entries(text, lambda other, key=entry.key: other.key == key)  # type: ignore[misc]
    assert text == ""
