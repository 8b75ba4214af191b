"""Row 15, text is never cut silently: 1 character to 1 MB in 20 scripts; what was spoken is counted and checked.

Target: 100 % spoken or refused with a code; 0 truncations. The stand-in `tone` says n characters in exactly n x 480
samples, so the length of the audio tells how many characters were spoken, to the character; the plan of each job must
cover each of them once. `truncate` cuts only where it is asked for, and says so.
"""

import unicodedata
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scorecard.card import Card
from tests.support import DaemonProcess, Home, running_daemon, temporary_home
from voiced.engines.tone import SAMPLES_PER_CHAR
from voiced.segments import Plan
from voiced.text.plan import Limits, make_plan
from voiced_ipc.errors import ErrorCode, InvalidRequest, VoicedError
from voiced_ipc.messages import JobState, OnLongText

# ruff: noqa: RUF001 - other scripts are meant

MAX_CHARS = 400
SCRIPTS = {
    "latin": "The quick brown fox jumps over the lazy dog. ",
    "cyrillic": "Съешь ещё этих мягких французских булок. ",
    "greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ",
    "arabic": "نص حكيم له سر قاطع وذو شأن عظيم. ",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה. ",
    "devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों का अंत हुआ। ",
    "bengali": "আমি বাংলায় গান গাই। ",
    "tamil": "தமிழ் ஒரு செம்மொழி ஆகும். ",
    "telugu": "తెలుగు భాష చాలా అందమైనది. ",
    "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ",
    "lao": "ພາສາລາວເປັນພາສາທາງການ ",
    "khmer": "ភាសាខ្មែរគឺជាភាសាផ្លូវការ។ ",
    "burmese": "မြန်မာစာသည် လှပသည်။ ",
    "georgian": "საქართველო ლამაზი ქვეყანაა. ",
    "armenian": "Հայերենը հին լեզու է։ ",
    "ethiopic": "ሰማይ አይታረስ ንጉሥ አይከሰስ። ",
    "chinese": "天地玄黄,宇宙洪荒。日月盈昃,辰宿列张。",
    "japanese": "いろはにほへと ちりぬるを。わかよたれそ。",
    "korean": "다람쥐 헌 쳇바퀴에 타고파. ",
    "tibetan": "བོད་ཀྱི་སྐད་ཡིག་ནི་མཛེས། ",
}
ODD = {
    "no spaces": "a",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽",
    "combining marks": "e\u0301\u0323o\u0308\u0304",
    "right to left marks": "\u200fשלום \u202ehello\u202c \u2067مرحبا\u2069 ",
    "odd white space": "one\u00a0two\u2003three\u3000four\u2028five\u2029six\u0085seven\u000beight\u000cnine. ",
    "controls beside zero": "a\u0001b\u0002c\u001fd\u007fe ",
    "line ends": "one\r\ntwo\rthree\n\nfour\n\r\n",
    "surrogate pairs": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈𐌰 ",
}


def repeated(unit: str, chars: int) -> str:
    return (unit * (chars // len(unit) + 1))[:chars]


def uncovered(text: str, plan: Plan) -> int:
    """Return how many characters of a text are in no segment, or in two."""
    place = wrong = 0
    for segment in plan.segments:
        wrong += abs(segment.start - place)
        place = segment.end
    return wrong + abs(len(text) - place)


@pytest.mark.parametrize("name", [*SCRIPTS, *ODD])
def test_each_character_is_in_one_segment(card: Card, name: str) -> None:
    unit = (SCRIPTS | ODD)[name]
    lengths = [1, 2, 79, 80, 81, 399, 400, 401, card.count(5_000, 1_000_000)]
    segments = wrong = longest = 0
    for chars in lengths:
        text = repeated(unit, chars)
        plan = make_plan(text, language="en", limits=Limits(MAX_CHARS, 80))
        segments += len(plan.segments)
        wrong += uncovered(text, plan)
        longest = max(longest, *(segment.end - segment.start for segment in plan.segments))
    card.tell(script=name, chars=sum(lengths), segments=segments, wrong=wrong, longest=longest)
    assert wrong == 0


@pytest.fixture(scope="module")
def quiet() -> Iterator[DaemonProcess]:
    """A daemon that makes no pauses: all audio is of characters."""
    pauses = [f"{kind}_pause_ms=0" for kind in ("clause", "sentence", "paragraph", "chapter")]
    with temporary_home() as home, running_daemon(home, *(f"--set={pause}" for pause in pauses)) as daemon:
        yield daemon


def test_the_audio_is_as_long_as_the_text(card: Card, quiet: DaemonProcess) -> None:
    units = list((SCRIPTS | ODD).items())
    chosen = units if card.is_full else card.random.sample(units, 6)
    spoken = refused = chars_spoken = 0
    wrong: list[str] = []
    with quiet.client(60.0) as client:
        for name, unit in chosen:
            for chars in (1, 401, card.count(3_000, 20_000)):
                text = repeated(unit, chars)
                try:
                    accepted = client.submit_text(text, model="tone", language="en", name=f"{name}.txt")
                except InvalidRequest:
                    refused += 1
                    continue
                job = quiet.wait_job(accepted.job_id, timeout_s=300.0)
                assert job.state is JobState.DONE, (name, job.error)
                assert not accepted.is_truncated
                samples = samples_of(Path(job.path))
                least, most = audible(text)
                is_right = samples % SAMPLES_PER_CHAR == 0 and least <= samples // SAMPLES_PER_CHAR <= most
                wrong += [] if is_right else [f"{name}, {chars}: {samples} samples"]
                spoken += 1
                chars_spoken += samples // SAMPLES_PER_CHAR
    card.tell(texts=spoken + refused, spoken=spoken, refused=refused, chars=chars_spoken, wrong=len(wrong))
    assert wrong == []
    assert spoken


def audible(text: str) -> tuple[int, int]:
    """Return how many characters must be said, and how many may be: white space between segments is not.

    Accents are composed, and control characters that nobody sees are nothing to say.
    """
    seen = [
        character
        for character in unicodedata.normalize("NFC", text)
        if character.isspace() or unicodedata.category(character) != "Cc"
    ]
    # A mark of direction alone is nothing to say; among letters it goes to the engine as it is.
    is_anything = any(unicodedata.category(character)[0] in "LMNPS" for character in seen)
    least = sum(not character.isspace() for character in seen) if is_anything else 0
    return least, len(seen) + text.count("\u2029") + text.count("\x0c")


def samples_of(path: Path) -> int:
    with wave.open(str(path)) as audio:
        return int(audio.getnframes())


def test_a_megabyte_on_one_line(card: Card, home: Home) -> None:
    text = repeated(SCRIPTS["latin"], card.count(60_000, 1_000_000))
    with running_daemon(home, "--set=model=tone", "--set=language=en") as daemon:
        home.put("line.txt", text)
        (job,) = daemon.wait_jobs(1, 600.0)
    card.tell(chars=len(text), told=job.chars, segments=job.segments, spoken=job.segments_done)
    assert job.state is JobState.DONE, job.error
    assert (job.chars, job.segments_done) == (len(text), job.segments)


@pytest.mark.parametrize("on_long_text", [OnLongText.SPLIT, OnLongText.TRUNCATE])
def test_what_is_cut_was_asked_for_and_is_told(quiet: DaemonProcess, on_long_text: OnLongText) -> None:
    text = repeated(SCRIPTS["latin"], 20_000)
    with quiet.client(60.0) as client:
        said = client.submit_text(text, model="tone", language="en", on_long_text=on_long_text)
        assert quiet.wait_job(said.job_id).state is JobState.DONE
    kept = said.max_text_chars if on_long_text is OnLongText.TRUNCATE and said.max_text_chars else len(text)
    assert said.original_chars == len(text)
    assert said.chars <= kept
    assert said.is_truncated == (kept < len(text))
    if not said.is_truncated:
        assert said.chars == len(text)


def test_what_is_too_long_is_refused_with_a_code(quiet: DaemonProcess) -> None:
    with quiet.client() as client, pytest.raises(VoicedError) as caught:
        client.synthesize("x" * (2 << 20), model="tone", language="en")
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert "file" in caught.value.message
