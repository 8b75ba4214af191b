"""Subtitle files: valid, in order, with all of the text."""

import html
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.audio.readers import needs_ffmpeg, probe
from voiced.audio.subtitles import MAX_COLUMNS, MAX_LINES, Cue, CueWord, shown_cues, write_srt, write_vtt

_TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="ab c\n&<>-{\\/", max_size=200),
    st.text(alphabet="漢字かな、。「」ー ", max_size=200),
    st.text(alphabet="שלום עולם ", max_size=200),
    st.lists(st.text(alphabet="abcdefgh", min_size=1, max_size=12), max_size=60).map(" ".join),
)
_TIMES = st.floats(0, 400_000)
_WORDS = st.lists(
    st.builds(CueWord, st.integers(0, 320), _TIMES), max_size=20, unique_by=lambda word: word.place
)
_CUES = st.lists(
    st.builds(Cue, _TIMES, _TIMES, _TEXTS, _WORDS.map(lambda words: tuple(sorted(words)))), max_size=8
)

_VTT = re.compile(r"(\d\d+):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d\d+):([0-5]\d):([0-5]\d)\.(\d{3})")

_STAMP = re.compile(r"<(\d\d+):([0-5]\d):([0-5]\d)\.(\d{3})>")


def ink(text: str) -> str:
    """Return what is seen of a text, without its spaces."""
    shown = "".join(c if c.isprintable() or unicodedata.category(c) == "Cf" else " " for c in text)
    return "".join(shown.encode("utf-8", "replace").decode().split())


def wanted_ink(cues: list[Cue]) -> str:
    """Return what is to be seen of cues."""
    return "".join(ink(cue.text) for cue in sorted(cues, key=lambda cue: cue.start_s))


def stamp_ms(stamp: re.Match[str]) -> int:
    """Return what a timestamp inside a cue says."""
    h, m, s, ms = map(int, stamp.groups())
    return ((h * 60 + m) * 60 + s) * 1000 + ms


def ms_of(clock: re.Match[str]) -> tuple[int, int]:
    """Return when a cue begins and ends."""
    numbers = [int(number) for number in clock.groups()]
    start, end = (((h * 60 + m) * 60 + s) * 1000 + ms for h, m, s, ms in (numbers[:4], numbers[4:]))
    return start, end


@given(_CUES)
def test_cues_are_in_order_in_lines_and_complete(cues: list[Cue]) -> None:
    shown = list(shown_cues(cues))
    assert "".join(ink(cue.text) for cue in shown) == wanted_ink(cues)
    now_s = 0.0
    for cue in shown:
        assert now_s <= cue.start_s < cue.end_s
        now_s = cue.end_s
        lines = cue.text.split("\n")
        assert 1 <= len(lines) <= MAX_LINES
        assert all(line == line.strip() and len(line) > 0 for line in lines)
        times = [cue.start_s, *(word.start_s for word in cue.words), cue.end_s]
        assert times == sorted(set(times))
        places = [word.place for word in cue.words]
        assert places == sorted(set(places))
        assert all(0 <= place < len(cue.text) and not cue.text[place].isspace() for place in places)


@st.composite
def spoken(draw: st.DrawFn) -> tuple[Cue, list[str]]:
    """A cue whose words are told in order, and these words."""
    words = draw(st.lists(st.text(alphabet="abcdefghäß", min_size=1, max_size=12), min_size=1, max_size=60))
    steps_ms = [draw(st.integers(1, 500)) for _ in words]
    places = [sum(len(word) + 1 for word in words[:n]) for n in range(len(words))]
    starts = [sum(steps_ms[:n]) / 1000 for n in range(len(words))]
    told = [CueWord(*told) for told in zip(places, starts, strict=True) if draw(st.booleans())]
    return Cue(0, sum(steps_ms) / 1000, " ".join(words), tuple(told)), words


@given(spoken())
def test_each_known_word_is_told_when_it_begins(made: tuple[Cue, list[str]]) -> None:
    cue, words = made
    known = {cue.text[: word.place].count(" "): word.start_s for word in cue.words}
    number = 0
    for shown in shown_cues([cue]):
        told = {
            shown.text[: word.place].count(" ") + shown.text[: word.place].count("\n"): word
            for word in shown.words
        }
        count = len(shown.text.split())
        assert shown.text.split() == words[number : number + count]
        for place in range(count):
            start_s = known.get(number + place)
            if place == 0:  # a cue begins with its first word
                assert start_s is None or shown.start_s == start_s
            else:
                assert (told[place].start_s if place in told else None) == start_s
        number += count
    assert number == len(words)


@given(_CUES)
def test_a_vtt_is_valid_and_complete(cues: list[Cue]) -> None:
    head, *blocks = write_vtt(cues).removesuffix("\n").split("\n\n")
    assert head.strip() == "WEBVTT"
    seen, now_ms = "", 0
    for block in blocks:
        clock, *lines = block.split("\n")
        found = _VTT.fullmatch(clock)
        assert found
        start_ms, end_ms = ms_of(found)
        assert now_ms <= start_ms < end_ms
        now_ms = end_ms
        assert 1 <= len(lines) <= MAX_LINES
        told = [start_ms, *map(stamp_ms, _STAMP.finditer("".join(lines))), end_ms]
        assert told == sorted(set(told))
        bare = [_STAMP.sub("", line) for line in lines]
        assert not any("-->" in line or "<" in line for line in bare)
        seen += "".join(bare)
    assert ink(html.unescape(seen)) == wanted_ink(cues)


@given(_CUES)
def test_an_srt_is_valid_and_complete(cues: list[Cue]) -> None:
    written = write_srt(cues).removesuffix("\n")
    seen = ""
    for number, block in enumerate(written.split("\n\n") if written else [], 1):
        count, clock, *lines = block.split("\n")
        assert count == str(number)
        assert _VTT.fullmatch(clock.replace(",", "."))
        assert not any("-->" in line or re.search(r"<[a-zA-Z/]|\{\\", line) for line in lines)
        seen += "".join(lines)
    assert ink(seen).replace("\u2060", "") == wanted_ink(cues).replace("\u2060", "")


@given(
    st.lists(st.text(alphabet="abcdefghäß", min_size=1, max_size=12), min_size=1, max_size=80).map(" ".join)
)
def test_words_stay_whole_and_lines_are_no_longer_than_allowed(text: str) -> None:
    lines = [line for cue in shown_cues([Cue(0, 60, text)]) for line in cue.text.split("\n")]
    assert " ".join(lines) == text
    assert max(map(len, lines)) <= MAX_COLUMNS


def test_time_is_shared_by_characters_and_lines_are_even() -> None:
    text = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."
    shown = list(shown_cues([Cue(10, 20, text)]))
    assert [cue.text.split("\n") for cue in shown] == [
        ["One two three four five six seven", "eight nine ten eleven twelve"],
        ["thirteen fourteen fifteen sixteen."],
    ]
    assert shown[0].start_s == 10
    assert shown[0].end_s == shown[1].start_s
    assert shown[1].end_s == 20
    rates = [len(cue.text) / (cue.end_s - cue.start_s) for cue in shown]
    assert rates == pytest.approx([rates[0]] * len(rates), rel=0.01)


def test_examples() -> None:
    cues = [Cue(3661.5, 3662.25, "Fish & <b>chips</b> --> {\\an8}"), Cue(0, 1, "שנה טבה")]
    assert write_vtt(cues) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.000\nשנה טבה\n\n"
        "01:01:01.500 --> 01:01:02.250\nFish &amp; &lt;b&gt;chips&lt;/b&gt; --&gt; {\\an8}\n"
    )
    assert write_srt(cues) == (
        "1\n00:00:00,000 --> 00:00:01,000\nשנה טבה\n\n"
        "2\n01:01:01,500 --> 01:01:02,250\n"
        "Fish & <\u2060b>chips<\u2060/b> --\u2060> {\u2060\\an8}\n"
    )
    words = (CueWord(0, 10.0), CueWord(5, 10.5), CueWord(11, 10.75), CueWord(15, 10.75))
    assert write_vtt([Cue(10, 11, "This & that is", words)]) == (
        "WEBVTT\n\n00:00:10.000 --> 00:00:11.000\nThis <00:00:10.500>&amp; that <00:00:10.750>is\n"
    )
    assert write_vtt([]) == "WEBVTT\n"
    assert write_srt([]) == ""


def test_text_without_spaces_is_cut_where_it_may_be() -> None:
    text = "「吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。」"
    lines = [line for cue in shown_cues([Cue(0, 9, text)]) for line in cue.text.split("\n")]
    assert "".join(lines) == text
    assert all(len(line) <= MAX_COLUMNS // 2 for line in lines)
    assert not any(line[0] in "。、」" or line[-1] == "「" for line in lines)
    (word,) = {line for cue in shown_cues([Cue(0, 9, "a" * 42 * 3)]) for line in cue.text.split("\n")}
    assert word == "a" * 42


def test_marks_stay_with_their_characters() -> None:
    text = "e\u0301" * 100
    lines = [line for cue in shown_cues([Cue(0, 9, text)]) for line in cue.text.split("\n")]
    assert "".join(lines) == text
    assert all(line[0] == "e" for line in lines)


def test_overlaps_wait_for_each_other() -> None:
    shown = list(shown_cues([Cue(0, 2, "one"), Cue(1, 3, "two"), Cue(1, 1, "three"), Cue(2, 1, "four")]))
    assert shown == [Cue(0, 2, "one"), Cue(2, 3, "two"), Cue(3, 3.001, "three"), Cue(3.001, 3.002, "four")]


@pytest.mark.process
@needs_ffmpeg
@pytest.mark.parametrize(("write", "ending"), [(write_vtt, "vtt"), (write_srt, "srt")])
def test_ffprobe_reads_them(tmp_path: Path, write: object, ending: str) -> None:
    assert callable(write)
    path = tmp_path / f"a.{ending}"
    path.write_text(write([Cue(0, 4, "One & two. " * 20), Cue(4, 6, "Three <b> --> four")]), encoding="utf-8")
    told = probe(path)
    assert [stream["codec_type"] for stream in told["streams"]] == ["subtitle"]
    assert float(told["format"].get("duration", 6)) == pytest.approx(6, abs=0.01)
