"""Two and three letters of languages."""

import pytest

from voiced.iso639 import TWO_LETTERS, three_letters


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "eng"),
        ("de-AT", "deu"),
        ("pt_BR", "por"),
        ("ZH-Hant-TW", "zho"),
        ("yue", "yue"),
        ("", "und"),
        ("x", "und"),
        ("123", "und"),
        ("xx", "und"),
    ],
)
def test_three_letters(tag: str, code: str) -> None:
    assert three_letters(tag) == code


def test_every_pair_goes_both_ways() -> None:
    assert len(TWO_LETTERS) == len(set(TWO_LETTERS.values())) == 184
    assert all(three_letters(two) == three for three, two in TWO_LETTERS.items())
