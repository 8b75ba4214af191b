"""The espeak worker: a real process over a real link."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.child.helpers import Answer, Child, children_of, start_espeak
from voiced.word_times import unpack_words
from voiced.workers.link import pack

pytestmark = pytest.mark.process


ENGLISH = "The quick brown fox jumps over the lazy dog, and nobody in the village remembers why it did."
LONG = ENGLISH * 20
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")


@pytest.fixture
def child() -> Iterator[Child]:
    with start_espeak() as started:
        started.load(threads=2)
        yield started


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def sound(answer: Answer) -> list[bytes]:
    assert answer.end["type"] == "done", answer.end
    return [answer.audio[place] for place in sorted(answer.audio)]


class TestLoad:
    def test_ready_tells_what_it_can(self) -> None:
        with start_espeak() as child:
            ready = child.load(threads=3)
        assert ready["type"] == "ready"
        assert ready["sample_rate_hz"] == 22050
        assert ready["slots"] == 3
        assert ready["can_cancel"]
        assert ready["is_repeatable"]
        assert ready["max_batch"] > 1
        voices = {voice["voice"]: voice for voice in ready["voices"]}
        assert len(voices) == len(ready["voices"]) > 100
        assert voices["en-us"]["language"] == "en-US"
        assert voices["en-us"]["gender"] == "male"
        assert {"en-gb", "de", "cmn", "fr-fr", "pt-br"} <= set(voices)
        assert {"en-US", "de"} <= set(ready["languages"])
        assert "f3" in ready["variants"]

    def test_refused_without_a_library(self) -> None:
        with start_espeak("/nowhere/libespeak-ng.so", "/nowhere") as child:
            answer = child.load()
            assert answer["type"] == "refused"
            assert answer["code"] == "engine-load-failed"
            assert "install" in answer["message"]
            assert child.wait_gone() == 0

    def test_refused_without_data(self, tmp_path: Path) -> None:
        from voiced.engines.espeak import find_library

        with start_espeak(find_library()[0], str(tmp_path / "none")) as child:
            assert child.load()["type"] == "refused"

    def test_end_before_load(self) -> None:
        with start_espeak() as child:
            child.send(type="end")
            assert child.wait_gone() == 0

    def test_something_else_before_load(self) -> None:
        with start_espeak() as child:
            child.send(type="ping", n=1)
            assert child.wait_gone() == 2


class TestRepeatable:
    def test_every_voice_whatever_was_before(self) -> None:
        """Each voice: in a fresh worker with spares, in an old one without, in another order, by its language."""
        with start_espeak() as first, start_espeak() as second:
            voices = [voice["voice"] for voice in first.load(threads=2)["voices"]]
            second.load(threads=1)
            second.speak(0, LONG, is_stream=False)
            texts = ("Radio, la mi.", "1 2 3")
            mute_of_digits = {"chr", "cv", "sjn"}
            heard = {}
            for task, voice in enumerate(voices):
                answer = first.speak(task, *texts, voice=voice)
                heard[voice] = sound(answer)
                missed = [told["missed"] for told in answer.spoken.values()]
                # Three voices have no numbers: that is told, and it is the only thing that is.
                assert missed == [[], [[0, 1], [2, 3], [4, 5]] if voice in mute_of_digits else []], voice
                assert len(heard[voice]) == 2 - (voice in mute_of_digits), voice
            random.Random(1).shuffle(voices)
            for task, voice in enumerate(voices):
                assert sound(second.speak(task, *texts, voice=voice, is_stream=False)) == heard[voice], voice
        assert len({tuple(audio) for audio in heard.values()}) > 100

    def test_same_task_again_and_again(self, child: Child) -> None:
        heard = set()
        for task in range(40):
            heard.add(sound(child.speak(task, ENGLISH))[0])
            if task % 4 == 0:
                child.speak(1000 + task, "Etwas anderes, 42.", voice="de+f2", speed=2.0)
        assert len(heard) == 1

    def test_side_by_side_is_as_alone(self, child: Child) -> None:
        alone = [sound(child.speak(task, text))[0] for task, text in enumerate((LONG, ENGLISH))]
        child.ask(10, LONG)
        child.ask(11, ENGLISH)
        child.ask(12, ENGLISH)
        for task, expected in ((11, alone[1]), (10, alone[0])):
            with start_espeak() as other:
                other.load()
                assert sound(other.speak(task, (LONG, ENGLISH)[task - 10])) == [expected]
        # Frames of three tasks come mixed, each in its own order.
        audio: dict[int, bytes] = {}
        ends = 0
        while ends < 3:
            fields, payload = child.receive()
            if fields["type"] == "audio":
                audio[fields["task"]] = audio.get(fields["task"], b"") + payload
            ends += fields["type"] == "done"
        assert [audio[10], audio[11], audio[12]] == [alone[0], alone[1], alone[1]]

    def test_a_group_of_segments_is_the_unit(self, child: Child) -> None:
        group = ("One.", "Two two.", ENGLISH, "Three.")
        first = child.speak(1, *group, is_stream=False)
        child.speak(2, LONG)
        assert sound(child.speak(3, *group, is_stream=False)) == sound(first)
        # The first of a group is as alone; chunks do not change the samples.
        assert sound(child.speak(4, group[0]))[0] == first.audio[0]


class TestSpeak:
    def test_stream_begins_small_and_grows(self, child: Child) -> None:
        chunks = child.speak(1, LONG).chunks
        assert chunks[0] <= 2 * 22050 * 0.1
        assert chunks[0] < chunks[3] < chunks[4]
        assert 2 * 22050 * 0.4 <= max(chunks) <= 64 << 10

    def test_file_comes_in_big_pieces(self, child: Child) -> None:
        chunks = child.speak(1, LONG, is_stream=False).chunks
        assert set(chunks[:-1]) <= set(range(1, (256 << 10) + 1))
        assert len(chunks) < sum(chunks) / (100 << 10)

    def test_pieces_do_not_change_the_audio(self, child: Child) -> None:
        assert sound(child.speak(1, LONG)) == sound(child.speak(2, LONG, is_stream=False))

    @pytest.mark.parametrize("text", ["", " \n", "...", "* * *", "-- ()"])
    def test_nothing_to_say_is_no_error(self, child: Child, text: str) -> None:
        answer = child.speak(1, "Before.", text, "After.")
        assert answer.end["type"] == "done"
        assert answer.spoken[1]["samples"] == 0
        assert answer.spoken[1]["words"] == 0
        assert answer.spoken[1]["missed"] == []
        assert answer.spoken[2]["samples"] > 0

    def test_no_segments(self, child: Child) -> None:
        assert child.speak(1).end["type"] == "done"

    def test_edges_are_cut_and_faded(self, child: Child) -> None:
        pcm = memoryview(sound(child.speak(1, "hello world"))[0]).cast("h")
        assert abs(pcm[0]) < 500
        assert abs(pcm[-1]) < 500
        assert any(abs(sample) > 3000 for sample in pcm)

    def test_speed_pitch_volume(self, child: Child) -> None:
        usual = sound(child.speak(1, ENGLISH))[0]
        assert len(sound(child.speak(2, ENGLISH, speed=2.0))[0]) < 0.7 * len(usual)
        assert len(sound(child.speak(3, ENGLISH, speed=0.5))[0]) > 1.4 * len(usual)
        assert sound(child.speak(4, ENGLISH, pitch=1.5))[0] != usual
        quiet = sound(child.speak(5, ENGLISH, volume=0.3))[0]
        assert max(memoryview(quiet).cast("h")) < 0.6 * max(memoryview(usual).cast("h"))

    def test_seed_changes_nothing(self, child: Child) -> None:
        assert sound(child.speak(1, ENGLISH, seed=1)) == sound(child.speak(2, ENGLISH, seed=99))

    def test_words_are_told(self, child: Child) -> None:
        told = child.speak(1, "Well, it's state-of-the-art: 3.14!").spoken[0]
        assert told["words"] == 4
        assert told["missed"] == []

    @pytest.mark.parametrize("is_stream", [True, False])
    def test_when_words_are_heard_is_told_on_request(self, child: Child, is_stream: bool) -> None:
        told = child.speak(1, "One, two.", "", "Three, four.", is_stream=is_stream, tells_words=True)
        heard = [unpack_words(told.heard[place]) for place in range(3)]
        assert [[word.place for word in words] for words in heard] == [[0, 5], [], [0, 7]]
        for place in (0, 2):
            first, second = (word.sample for word in heard[place])
            assert 0 <= first < second < told.spoken[place]["samples"]
            # Before the second word there is a pause.
            pcm = memoryview(told.audio[place]).cast("h")
            assert max(pcm[second - 400 : second - 100]) < max(pcm[second : second + 4000]) / 10
        assert child.speak(2, "One, two.", is_stream=is_stream).heard == {0: b""}

    def test_words_begin_where_the_silence_before_them_was_cut(self, child: Child) -> None:
        for task, text in enumerate(("Am Abend", "one", "- * - hush")):
            told = child.speak(task, text, tells_words=True)
            assert unpack_words(told.heard[0])[0].sample == 0, text

    def test_korean_does_not_tell(self, child: Child) -> None:
        assert child.speak(1, "안녕하세요 여러분", language="ko", tells_words=True).heard == {0: b""}

    def test_a_text_commands_nothing(self, child: Child) -> None:
        plain = sound(child.speak(1, "fast  200S hello"))
        assert sound(child.speak(2, "fast \x01200S hello")) == plain

    @pytest.mark.parametrize("variant", ["en-us+f3", "EN-US+f3", "gmw/en-US+f3"])
    def test_variants(self, child: Child, variant: str) -> None:
        plain = sound(child.speak(1, ENGLISH, voice="en-us"))
        female = sound(child.speak(2, ENGLISH, voice=variant))
        assert female != plain
        assert female == sound(child.speak(3, ENGLISH, voice="en-us+f3"))

    def test_language_chooses_the_voice(self, child: Child) -> None:
        for task, (language, voice) in enumerate({"en": "en-us", "en-GB": "en-gb", "zh": "cmn"}.items()):
            by_language = child.speak(10 + task, "1 2 3", language=language)
            assert sound(by_language) == sound(child.speak(20 + task, "1 2 3", voice=voice))

    @pytest.mark.parametrize("voice", ["nobody", "en-us+nobody", "en-us+", "en-us+../../lang/gmw/de", "+f3"])
    def test_unknown_voice(self, child: Child, voice: str) -> None:
        end = child.speak(1, "hello", voice=voice).end
        assert end["type"] == "failed"
        assert end["code"] == "unknown-voice"
        assert child.speak(2, "hello").end["type"] == "done"

    def test_unknown_language(self, child: Child) -> None:
        end = child.speak(1, "hello", language="xx").end
        assert (end["type"], end["code"]) == ("failed", "unknown-language")


def stat_of(pid: int) -> str:
    """The state of a process; empty = it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


class TestLife:
    def test_ping_while_speaking(self, child: Child) -> None:
        child.ask(1, LONG, is_stream=False)
        child.send(type="ping", n=7)
        seen = []
        while "done" not in seen:
            fields, _ = child.receive()
            seen.append(fields["type"])
            if fields["type"] == "pong":
                assert fields["n"] == 7
                assert 4 << 20 < fields["rss_bytes"] < 100 << 20
        assert "pong" in seen

    def test_cancel_running_and_queued(self, child: Child) -> None:
        for task in (1, 2, 3, 4):
            child.ask(task, LONG * 20)
        child.send(type="cancel", task=4)
        child.send(type="cancel", task=1)
        child.send(type="cancel", task=2)
        child.send(type="cancel", task=77)
        cancelled: list[int] = []
        while len(cancelled) < 3:
            fields, _ = child.receive()
            assert fields.get("task") not in cancelled, "audio after its end"
            if fields["type"] == "cancelled":
                cancelled.append(fields["task"])
        assert cancelled == [4, 1, 2]
        child.send(type="cancel", task=3)
        assert child.answer(3).end["type"] == "cancelled"
        assert child.speak(5, "hello").end["type"] == "done"

    def test_cancel_is_quick(self, child: Child) -> None:
        child.ask(1, LONG * 50)
        child.receive()
        began = time.monotonic()
        child.send(type="cancel", task=1)
        assert child.answer(1).end["type"] == "cancelled"
        assert time.monotonic() - began < 0.5

    @needs_proc
    def test_a_killed_fork_costs_its_task_alone(self, child: Child) -> None:
        child.ask(1, LONG * 50)
        pid = child.process.pid
        child.receive()
        os.kill(children_of(pid)[0], signal.SIGSEGV)
        end = child.answer(1).end
        assert (end["type"], end["code"]) == ("failed", "engine-crashed")
        assert "signal 11" in end["message"]
        assert child.speak(2, "hello").end["type"] == "done"

    @needs_proc
    def test_a_killed_spare_is_not_missed(self, child: Child) -> None:
        pid = child.process.pid
        expected = sound(child.speak(1, ENGLISH))
        wait_for(lambda: len(children_of(pid)) == 2)
        spares = children_of(pid)
        for spare in spares:
            os.kill(spare, signal.SIGKILL)
        wait_for(lambda: not any(is_alive(spare) for spare in spares))
        assert sound(child.speak(2, ENGLISH)) == expected

    @needs_proc
    def test_spares_are_bounded_and_nothing_stays(self, child: Child) -> None:
        pid = child.process.pid

        def descriptors() -> int:
            return len(list(Path(f"/proc/{pid}/fd").iterdir()))

        def is_at_rest() -> bool:
            """Two spares live, each with a pipe to ask it and one to hear it; no dead fork waits to be reaped."""
            states = [stat_of(one) for one in children_of(pid)]
            return len(states) == 2 and "Z" not in states and descriptors() == without_spares + 4

        without_spares = descriptors()
        for task in range(30):
            child.speak(task, "hello", voice=("en-us", "de")[task % 2])
            if task in (10, 29):
                wait_for(is_at_rest)

    @needs_proc
    @pytest.mark.parametrize("how", ["end", "close"])
    def test_it_goes_and_takes_its_forks(self, how: str) -> None:
        with start_espeak() as child:
            child.load(threads=2)
            child.speak(1, "hello")
            wait_for(lambda: len(children_of(child.process.pid)) == 2)
            child.ask(2, LONG * 50)
            child.receive()
            forks = children_of(child.process.pid)
            if how == "end":
                child.send(type="end")
            else:
                child.link.close()
            assert child.wait_gone() == 0
            wait_for(lambda: not any(Path(f"/proc/{fork}").exists() for fork in forks))

    @needs_proc
    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
    def test_forks_die_with_a_killed_worker(self) -> None:
        with start_espeak() as child:
            child.load(threads=2)
            child.speak(1, "hello")
            wait_for(lambda: len(children_of(child.process.pid)) == 2)
            child.ask(2, LONG * 50)
            child.receive()
            forks = children_of(child.process.pid)
            for fork in forks:
                os.kill(fork, signal.SIGSTOP)  # they would notice a closed pipe: it is to be the kernel
            child.process.kill()
            with pytest.raises((EOFError, ConnectionResetError)):
                child.answer(2)
            wait_for(lambda: not any(is_alive(fork) for fork in forks))

    def test_a_reader_that_stands_still_does_not_stop_it(self, child: Child) -> None:
        """Beyond what the link and the worker hold, forks wait; pings go on, and no sample is lost."""
        text = LONG * 2
        child.ask(1, text)
        time.sleep(0.5)
        child.send(type="cancel", task=99)
        whole = sound(child.answer(1))[0]
        assert len(whole) > 8 << 20
        assert sound(child.speak(2, text, is_stream=False))[0] == whole

    def test_nonsense_ends_it(self, child: Child) -> None:
        child.link.sendall(b"\xff" * 64)
        assert child.wait_gone() == 1

    def test_many_frames_at_once(self, child: Child) -> None:
        frames = b"".join(pack({"type": "ping", "n": n}) for n in range(500))
        child.link.sendall(frames)
        assert [child.receive()[0]["n"] for _ in range(500)] == list(range(500))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_stays_lean() -> None:
    """What it imports, every fork pays for."""
    with start_espeak() as child:
        child.load(threads=2)
        child.send(type="ping", n=0)
        assert child.receive()[0]["rss_bytes"] < 24 << 20
        if Path("/proc/self/maps").exists():
            maps = Path(f"/proc/{child.process.pid}/maps").read_text()
            assert "numpy" not in maps
            assert "_ssl" not in maps
