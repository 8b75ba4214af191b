from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.drop.sidecar import (
    MAX_SIDECAR_BYTES,
    RULES,
    Sidecars,
    Wishes,
    digest_of,
    is_sidecar,
    merged,
    own_names,
    parse_sidecar,
    places,
)
from voiced.drop.verdict import is_passed_over
from voiced_ipc import messages as m

WHOLE = """\
# How my book is to sound.
model = "piper:en_US-lessac-medium"
voice = "en-gb+f3"
language = "en-GB"
format = "flac"
speed = 1.25
pitch = 0.9
volume = 1
priority = "interactive"
loudness = -19
subtitles = "vtt"
chapters = "folder"
description = "an old man, slowly"
seed = 7
"""


def test_every_key_is_read() -> None:
    wishes, problems = parse_sidecar(WHOLE.encode())
    assert problems == ()
    assert wishes == Wishes(
        "piper:en_US-lessac-medium",
        "en-gb+f3",
        "en-GB",
        "flac",
        1.25,
        0.9,
        1.0,
        "interactive",
        -19.0,
        "vtt",
        "folder",
        "an old man, slowly",
        7,
    )
    assert all(value is not None for value in wishes)


def test_its_keys_are_the_wishes_and_nothing_that_could_hurt() -> None:
    assert tuple(RULES) == Wishes._fields
    assert not {"device", "keep_alive_s", "name", "audio_folder", "incoming"} & set(RULES)
    lanes = parse_sidecar(b'priority = "batch"')[0], {lane.value for lane in m.Lane}
    assert lanes[0].priority in lanes[1]


BAD = {
    "model": ['"../kokoro"', '"/etc/passwd"', '"a/b"', '""', "3", '"a\\\\b"', '".hidden"', '"a\\u0000"'],
    "voice": ['"gmw/en"', '"~/voice.wav"', '"file:///x"'],
    "language": ['"../de"', "1"],
    "format": ['"exe"', '"../wav"', "[]"],
    "speed": ["0", "9", "nan", "inf", '"quick"', "true", "0x" + "f" * 5000],
    "pitch": ["-1", "3"],
    "volume": ["2.1"],
    "priority": ['"first"', "1"],
    "loudness": ["-60", "3", "true", '"loud"', "nan", "inf"],
    "subtitles": ['"ass"', "true", "[[]]"],
    "chapters": ['"folder/.."', "{a = 1}"],
    "description": ['""', "5", '"' + "x" * 1001 + '"'],
    "seed": ["-1", "4294967296", "1.5", '"7"', "true", "0x" + "f" * 5000],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_a_bad_value_is_told_and_hides_no_other(key: str, value: str) -> None:
    other = "seed" if key != "seed" else "speed"
    wishes, problems = parse_sidecar(f"{key} = {value}\n{other} = 2\n".encode())
    assert wishes == (Wishes(seed=2) if other == "seed" else Wishes(speed=2.0))
    assert len(problems) == 1
    assert problems[0].startswith(f"{key} = ")
    assert RULES[key].allowed in problems[0]
    assert len(problems[0]) < 300


def test_loudness_can_be_switched_off() -> None:
    assert (
        parse_sidecar(b"loudness = false")[0].loudness
        == parse_sidecar(b'loudness = "off"')[0].loudness
        == 0.0
    )


@pytest.mark.parametrize("key", ["device", "keep_alive_s", "drop_folder", "name", "MODEL", "[speech]", "é"])
def test_an_unknown_key_is_told_with_what_can_be_set(key: str) -> None:
    line = key if key.startswith("[") else f'"{key}" = "cuda"'
    wishes, problems = parse_sidecar(f"seed = 1\n{line}\n".encode())
    assert wishes == Wishes(seed=1)
    (problem,) = problems
    assert key.strip("[]") in problem
    assert "model, voice, language" in problem


def test_a_line_that_is_no_toml_hides_no_other() -> None:
    wishes, problems = parse_sidecar(b"model = kokoro\nspeed = 1.5\n???\nseed = 1\nseed = 2\n")
    assert wishes == Wishes(speed=1.5, seed=1)
    assert "line 1, 3 cannot be read" in problems[0]
    assert "line 5: 'seed' stands there twice" in problems[1]


def test_a_byte_order_mark_and_crlf_do_no_harm() -> None:
    assert parse_sidecar(b"\xef\xbb\xbfseed = 1\r\nspeed = 2\r\n") == (Wishes(seed=1, speed=2.0), ())


HOSTILE = {
    "nested": b"model = " + b"[" * 60_000,
    "tables": b"{a = " * 10_000,
    "dotted": b"\n".join(b".".join([b"a"] * 900) + b"%d = 1" % n for n in range(30)),
    "one dotted key": b".".join([b"a"] * 30_000) + b" = 1",
    "digits": b"seed = " + b"9" * 60_000,
    "hexadecimal": b"seed = 0x" + b"f" * 60_000,
    "junk lines": b"?\n" * 32_000,
    "unknown keys": b"\n".join(b"k%d = 1" % n for n in range(6000)),
    "no UTF-8": b"voice = '\xff'",
    "NUL": bytes(1000),
    "too large": b"#" * (MAX_SIDECAR_BYTES + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_told_in_few_words(name: str) -> None:
    wishes, problems = parse_sidecar(HOSTILE[name])
    assert wishes == Wishes()
    assert 1 <= len(problems) <= 10
    assert sum(map(len, problems)) < 2000


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_no_bytes_raise(data: bytes) -> None:
    wishes, problems = parse_sidecar(data)
    assert all(problem.isprintable() for problem in problems)
    assert merged(wishes) == wishes


VALUES = st.tuples(
    st.none() | st.just("kokoro"),
    st.none() | st.floats(0.25, 4),
    st.none() | st.just(0.0),
    st.none() | st.integers(0, 2**32 - 1),
).map(lambda said: Wishes(model=said[0], speed=said[1], loudness=said[2], seed=said[3]))


@given(st.lists(VALUES, max_size=5))
def test_the_nearest_that_says_something_wins_key_by_key(wishes: list[Wishes]) -> None:
    found = merged(*wishes)
    for key, value in zip(Wishes._fields, found, strict=True):
        said = [getattr(one, key) for one in wishes if getattr(one, key) is not None]
        assert value == (said[0] if said else None)


@given(VALUES, VALUES)
def test_the_digest_is_of_what_is_said(first: Wishes, second: Wishes) -> None:
    assert (digest_of(first) == digest_of(second)) is (first == second)
    assert bool(digest_of(first)) is (first != Wishes())


def test_comments_and_order_are_no_news() -> None:
    said = [
        digest_of(parse_sidecar(data)[0]) for data in (b"seed=1\nspeed=2", b"# again\nspeed = 2.0\nseed = 1")
    ]
    assert said[0] == said[1]


def test_what_went_is_no_news() -> None:
    sidecars = Sidecars(Wishes(seed=1), digests=("a", "b"))
    assert sidecars.has_news(())
    assert sidecars.has_news(("a",))
    assert not sidecars.has_news(("b", "a", "c"))
    assert not Sidecars().has_news(("a",))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("book.epub", ("book.epub.voiced.toml", "book.voiced.toml")),
        ("book", ("book.voiced.toml",)),
        (".book", (".book.voiced.toml",)),
        ("a.b.txt", ("a.b.txt.voiced.toml", "a.b.voiced.toml")),
        ("x" * 240 + ".txt", ("x" * 240 + ".voiced.toml",)),
        ("x" * 255, ()),
    ],
)
def test_own_names(name: str, expected: tuple[str, ...]) -> None:
    assert own_names(name) == expected
    assert all(is_sidecar(sidecar) for sidecar in expected)


def test_places_are_the_nearest_first_and_end_at_the_drop_folder() -> None:
    found = places(PurePosixPath("a/b/book.epub"))
    assert [str(place) for place in found] == [
        "a/b/book.epub.voiced.toml",
        "a/b/book.voiced.toml",
        "a/b/voiced.toml",
        "a/voiced.toml",
        "voiced.toml",
    ]


@pytest.mark.parametrize(
    "name",
    ["a.voiced (2).toml", "voiced (13).toml", "A.VOICED.TOML", "two\nlines.voiced.toml", ".voiced.toml"],
)
def test_a_sidecar_with_a_number_is_one_still(name: str) -> None:
    assert is_sidecar(name)
    assert is_passed_over(name)


@pytest.mark.parametrize(
    "name",
    ["a voiced.toml", "voiced (x).toml", "voiced.toml.txt", "book.toml", "voiced.tom", "myvoiced.toml"],
)
def test_other_files_are_no_sidecars(name: str) -> None:
    assert not is_sidecar(name)
