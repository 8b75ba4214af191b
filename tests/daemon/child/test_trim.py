"""Edges of segments: cut, faded, whatever pieces they come in."""

from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from voiced.audio.trim import SILENCE, EdgeTrimmer, trimmed

RATE = 8000
FADE = 40

samples_of = st.lists(
    st.one_of(st.integers(-SILENCE, SILENCE), st.integers(-32768, 32767), st.just(0)), max_size=300
)


def pcm(samples: list[int]) -> bytes:
    return array("h", samples).tobytes()


def of(data: bytes) -> list[int]:
    return array("h", data).tolist()


def in_pieces(data: bytes, cuts: list[int]) -> bytes:
    trimmer = EdgeTrimmer(RATE)
    places = sorted({0, len(data), *(2 * (cut % (len(data) // 2 + 1)) for cut in cuts)})
    out = b"".join(trimmer.feed(data[a:b]) for a, b in pairwise(places))
    out += trimmer.finish()
    assert trimmer.samples * 2 == len(out)
    loud = [place for place, sample in enumerate(of(data)) if abs(sample) > SILENCE]
    assert trimmer.leading_samples == (loud[0] if loud else len(data) // 2)
    return out


@given(samples_of, st.lists(st.integers(0, 1000), max_size=12))
def test_pieces_do_not_matter(samples: list[int], cuts: list[int]) -> None:
    assert in_pieces(pcm(samples), cuts) == trimmed(pcm(samples), RATE)


@given(samples_of)
def test_cut_to_the_first_and_last_loud_sample(samples: list[int]) -> None:
    loud = [place for place, sample in enumerate(samples) if abs(sample) > SILENCE]
    kept = samples[loud[0] : loud[-1] + 1] if loud else []
    out = of(trimmed(pcm(samples), RATE))
    assert len(out) == len(kept)
    assert out[FADE:-FADE] == kept[FADE:-FADE]
    assert all(abs(made) <= abs(was) for made, was in zip(out, kept, strict=True))


def test_fade_is_a_straight_line() -> None:
    out = of(trimmed(pcm([0] * 10 + [1000] * 200 + [5, -32, 32, 0]), RATE))
    assert len(out) == 200
    assert out[0] == 1000 // 41
    assert out[FADE // 2] == 1000 * 21 // 41
    assert out[FADE:-FADE] == [1000] * 120
    assert out[-1] == 1000 // 41
    assert out[::-1] == out


def test_silence_leaves_nothing() -> None:
    assert trimmed(pcm([3] * 500), RATE) == b""
    assert trimmed(b"", RATE) == b""


def test_only_a_possible_end_is_held_back() -> None:
    trimmer = EdgeTrimmer(RATE)
    assert len(trimmer.feed(pcm([1000] * 100))) == 2 * (100 - FADE)
    assert trimmer.feed(pcm([0] * 500)) == b""
    assert len(trimmer.feed(pcm([1000]))) == 2 * (FADE + 500 + 1 - FADE)
