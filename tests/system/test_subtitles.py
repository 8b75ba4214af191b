"""Subtitles by the real daemon and the embedded voice: its words in them, and the same after a kill in the midst."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import soundfile

from tests.daemon.audio.readers import needs_ffmpeg
from tests.support import DaemonProcess, Home, running_daemon, temporary_home, wait_for
from voiced_ipc import messages as m
from voiced_ipc.messages import JobState

TEXT = (
    "In 1984 the old lighthouse keeper climbed all of the ninety-nine steps once more, although his knees had "
    'begun to complain about every single one of them. "Never again," he said - and meant it.\n\n'
    "SQL is old & strange.\n"
)
LEXICON = '[[entry]]\nword = "SQL"\nspoken = "ess queue ell"\nlanguage = "en"\n'
_STAMP = re.compile(r"<(\d\d):(\d\d):(\d\d\.\d{3})>")
_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})")


def seconds(hours: str, minutes: str, rest: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def make(daemon: DaemonProcess, text: str, kind: m.Subtitles, name: str = "story.txt") -> tuple[str, float]:
    """Return the subtitles of a text, and how long its audio is."""
    with daemon.client() as client:
        job_id = client.submit_text(text, name=name, language="en", subtitles=kind).job_id
    job = daemon.wait_job(job_id, JobState.DONE)
    return Path(job.path).with_suffix(f".{kind.value}").read_text(), job.audio_s


def test_a_vtt_says_when_each_word_is_heard(home: Home) -> None:
    home.paths.config.mkdir(exist_ok=True)
    home.paths.lexicon_file.write_text(LEXICON)
    with running_daemon(home) as daemon:
        written, audio_s = make(daemon, TEXT, m.Subtitles.VTT)
    cues = written.removesuffix("\n").split("\n\n")[1:]
    times: list[float] = []
    seen: list[str] = []
    for cue in cues:
        clock, *lines = cue.split("\n")
        found = _CLOCK.fullmatch(clock)
        assert found
        stamps = [seconds(*stamp.groups()) for stamp in _STAMP.finditer("\n".join(lines))]
        times += [seconds(*found.groups()[:3]), *stamps, seconds(*found.groups()[3:])]
        assert len(lines) <= 2
        seen += _STAMP.sub("", " ".join(lines)).replace("&amp;", "&").split()
    assert times == sorted(times)
    assert times[-1] <= audio_s + 0.001
    assert seen == TEXT.split()
    # The first word of a cue is its beginning; a few more the voice says together with the one before.
    stamped = len(_STAMP.findall(written))
    assert len(TEXT.split()) - len(cues) - 5 <= stamped <= len(TEXT.split())
    last = re.sub(_STAMP, "|", cues[-1].split("\n", 1)[1])
    assert last == "SQL |is |old |&amp; |strange."


def test_an_srt_has_no_words_inside_but_begins_with_them(home: Home) -> None:
    with running_daemon(home) as daemon:
        srt, _ = make(daemon, TEXT, m.Subtitles.SRT, "one.txt")
        vtt, _ = make(daemon, TEXT, m.Subtitles.VTT, "two.txt")
    assert "<" not in srt
    starts = [
        [seconds(*clock.groups()[:3]) for clock in _CLOCK.finditer(text.replace(",", "."))]
        for text in (srt, vtt)
    ]
    assert starts[0] == starts[1]


def test_words_are_heard_when_they_are_told(home: Home) -> None:
    """Words with silence between them in the audio: what is told falls into it, not into a word."""
    text = "One, - two, - three, - four, - five."
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            job_id = client.submit_text(
                text, name="count.txt", language="en", subtitles=m.Subtitles.VTT
            ).job_id
        path = Path(daemon.wait_job(job_id, JobState.DONE).path)
        samples, rate_hz = soundfile.read(path, dtype="int16")
    stamps = [seconds(*stamp.groups()) for stamp in _STAMP.finditer(path.with_suffix(".vtt").read_text())]
    for at_s in stamps:
        before = samples[int((at_s - 0.02) * rate_hz) : int((at_s - 0.01) * rate_hz)]
        after = samples[int((at_s + 0.02) * rate_hz) : int((at_s + 0.2) * rate_hz)]
        assert abs(before).max() < abs(after).max() / 10
    assert len(stamps) >= 4


def test_a_kill_in_the_midst_leaves_no_trace() -> None:
    text = "\n\n".join(f"Paragraph {n}. {TEXT}" for n in range(90))
    with temporary_home() as quiet, running_daemon(quiet) as daemon:
        expected, _ = make(daemon, text, m.Subtitles.VTT)
    assert len(_STAMP.findall(expected)) > 1000
    with temporary_home() as home, running_daemon(home) as daemon:
        with daemon.client() as client:
            job_id = client.submit_text(
                text, name="story.txt", language="en", subtitles=m.Subtitles.VTT
            ).job_id
        folder = home.paths.spool / job_id
        for least in (1, 12_000):
            # What this looks at is gone when the job is done: then the kill would come too late.
            wait_for(lambda: (folder / "words").stat().st_size >= least, what="more words")  # noqa: B023
            daemon.kill()
            assert folder.exists()
            daemon.start()
        job = daemon.wait_job(job_id, JobState.DONE)
        assert Path(job.path).with_suffix(".vtt").read_text() == expected
        assert not folder.exists()


@needs_ffmpeg
def test_ffmpeg_reads_the_words_as_text(home: Home) -> None:
    with running_daemon(home) as daemon:
        vtt, _ = make(daemon, TEXT, m.Subtitles.VTT)
    (home.root / "a.vtt").write_text(vtt)
    command = ["ffmpeg", "-v", "error", "-i", str(home.root / "a.vtt"), str(home.root / "a.srt")]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
    srt = (home.root / "a.srt").read_text()
    heard = [line for line in srt.splitlines() if line and "-->" not in line and not line.isdigit()]
    assert " ".join(heard).split() == TEXT.split()
    assert all(one <= other for one, other in pairwise(_CLOCK.findall(srt.replace(",", "."))))
