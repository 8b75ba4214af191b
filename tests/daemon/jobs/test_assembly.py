"""Segments in any order, with pauses: always the same bytes, exact to the sample."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.jobs.made import PAUSES
from voiced.jobs.assembly import BYTES_PER_SAMPLE, Assembly, Closed, Pauses
from voiced.segments import Break, Segment

RATE = 1000
BREAKS = st.sampled_from(list(Break))


def plan(breaks: list[Break]) -> list[Segment]:
    return [Segment(i, i + 1, i, i + 1, "en", after) for i, after in enumerate(breaks)]


def sound(index: int, samples: int) -> bytes:
    return bytes((index * 31 + place) % 251 + 1 for place in range(samples * BYTES_PER_SAMPLE))


def whole(breaks: list[Break], lengths: list[int]) -> bytes:
    """What comes out when nothing goes wrong."""
    pieces = [
        sound(i, length) + bytes(PAUSES.samples(after, RATE) * BYTES_PER_SAMPLE)
        for i, (after, length) in enumerate(zip(breaks, lengths, strict=True))
    ]
    return b"".join(pieces)


class Speaker:
    """An attempt at a segment: chunk for chunk, perhaps with a crash before the end."""

    def __init__(self, assembly: Assembly, index: int, chunks: list[bytes]) -> None:
        self._assembly = assembly
        self._index = index
        self._left = list(chunks)
        assembly.begin(index)

    def step(self) -> tuple[list[bytes], bool]:
        """Give one chunk, or the end; return what comes out, and whether that was the end."""
        if self._left:
            return self._assembly.audio(self._index, self._left.pop(0)), False
        return self._assembly.spoken(self._index, RATE), True


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    """Pieces of whole samples."""
    chunks = []
    while data:
        size = BYTES_PER_SAMPLE * dice.randint(1, 5)
        chunks.append(data[:size])
        data = data[size:]
    return chunks


@given(
    rows=st.lists(st.tuples(BREAKS, st.integers(0, 12)), min_size=1, max_size=8),
    dice=st.randoms(use_true_random=False),
)
def test_any_order_with_any_crashes_gives_the_same_bytes(
    rows: list[tuple[Break, int]], dice: random.Random
) -> None:
    breaks, lengths = [row[0] for row in rows], [row[1] for row in rows]
    assembly = Assembly(plan(breaks), PAUSES)
    out: list[bytes] = []
    waiting, crashes = list(range(len(rows))), 6
    at_work: dict[int, Speaker] = {}
    while waiting or at_work:
        if waiting and (not at_work or dice.random() < 0.4):
            index = waiting.pop(dice.randrange(len(waiting)))
            at_work[index] = Speaker(assembly, index, cut(sound(index, lengths[index]), dice))
        index = dice.choice(list(at_work))
        if crashes and dice.random() < 0.15:
            crashes -= 1
            del at_work[index]
            waiting.append(index)
            continue
        given_out, is_over = at_work[index].step()
        out += given_out
        if is_over:
            del at_work[index]
            if crashes and dice.random() < 0.2:  # its batch is spoken again for the sake of another segment
                crashes -= 1
                waiting.append(index)
    assert assembly.is_whole
    assert b"".join(out) == whole(breaks, lengths)
    assert assembly.waiting_bytes == 0
    expected = sum(lengths) + sum(PAUSES.samples(after, RATE) for after in breaks)
    assert sum(map(len, out)) == expected * BYTES_PER_SAMPLE
    assert [one.segment for one in assembly.closed] == list(range(len(rows)))
    assert assembly.closed[-1].after == expected * BYTES_PER_SAMPLE
    for one, following in pairwise([Closed(-1, 0, 0, 0), *assembly.closed]):
        assert following.start == one.after
    heard = b"".join(out)
    assert [heard[one.start : one.end] for one in assembly.closed] == [
        sound(index, length) for index, length in enumerate(lengths)
    ]


@given(rows=st.lists(st.tuples(BREAKS, st.integers(0, 9)), min_size=1, max_size=6), data=st.data())
def test_going_on_from_the_ledger_gives_the_rest(rows: list[tuple[Break, int]], data: st.DataObject) -> None:
    breaks, lengths = [row[0] for row in rows], [row[1] for row in rows]
    done = data.draw(st.integers(0, len(rows)))
    everything = whole(breaks, lengths)
    before = len(whole(breaks[:done], lengths[:done]))
    assembly = Assembly(plan(breaks), PAUSES, done, before)
    out = []
    for index in range(done, len(rows)):
        assembly.begin(index)
        out += assembly.audio(index, sound(index, lengths[index]))
        out += assembly.spoken(index, RATE)
    assert everything[:before] + b"".join(out) == everything
    assert assembly.is_whole
    assert [one.after for one in assembly.closed][-1:] == ([len(everything)] if done < len(rows) else [])
    assert [one.start for one in assembly.closed][:1] == ([before] if done < len(rows) else [])


def test_a_forced_cut_and_the_end_have_no_pause() -> None:
    assert PAUSES.samples(Break.NONE, 24000) == PAUSES.samples(Break.END, 24000) == 0
    lengths = [PAUSES.samples(kind, 24000) for kind in (Break.CLAUSE, Break.SENTENCE, Break.PARAGRAPH)]
    assert lengths == [240, 480, 720]
    assert Pauses(0, 0, 0, 1500).samples(Break.CHAPTER, 22050) == 33075


def test_audio_of_a_segment_that_was_given_out_does_not_pile_up() -> None:
    assembly = Assembly(plan([Break.NONE, Break.NONE]), PAUSES)
    assembly.begin(0)
    assert assembly.audio(0, b"ab") == [b"ab"]
    assert assembly.spoken(0, RATE) == []
    assembly.begin(0)
    assert assembly.audio(0, b"ab") == []
    assert assembly.spoken(0, RATE) == []
    assert assembly.waiting_bytes == 0
    assert assembly.head == 1


@given(
    rows=st.lists(st.tuples(BREAKS, st.integers(0, 12)), min_size=1, max_size=6),
    seed=st.integers(0, 2**16),
)
def test_of_an_engine_that_does_not_repeat_itself_one_attempt_is_heard(
    rows: list[tuple[Break, int]], seed: int
) -> None:
    dice = random.Random(seed)
    breaks = [after for after, _ in rows]
    assembly = Assembly(plan(breaks), PAUSES)
    assembly.holds_back = True
    out: list[bytes] = []
    expected: list[bytes] = []
    order = list(range(len(rows)))
    dice.shuffle(order)
    last: dict[int, bytes] = {}
    for index in order:
        for attempt in range(dice.randint(1, 3)):
            data = sound(index + attempt * 7, rows[index][1] + attempt)
            speaker = Speaker(assembly, index, cut(data, dice))
            is_last, is_over = attempt == 2 or dice.random() < 0.5, False
            steps = 10**6 if is_last else dice.randint(0, 3)
            while steps and not is_over:
                given, is_over = speaker.step()
                out += given
                steps -= 1
            last[index] = data
            if is_over:
                break
        else:
            speaker = Speaker(assembly, index, cut(last[index], dice))
            is_over = False
            while not is_over:
                given, is_over = speaker.step()
                out += given
    for index, after in enumerate(breaks):
        expected += [last[index], bytes(PAUSES.samples(after, RATE) * BYTES_PER_SAMPLE)]
    assert b"".join(out) == b"".join(expected)
    assert assembly.closed[-1].after == len(b"".join(expected))
