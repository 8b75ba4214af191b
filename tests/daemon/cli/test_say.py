"""`voiced say`: heard, written, interrupted."""

import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.audio.readers import decoded
from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run, Voiced
from tests.daemon.cli.players import Players, is_alive
from tests.daemon.cli.standin import RATE, StandIn
from tests.daemon.text.books import Book, build_epub
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.spoken_text import pieces_of
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode

AUDIO = b"\x01\x00" * 800 + b"\x02\x00" * 400


@pytest.fixture
def players(user: Path, monkeypatch: pytest.MonkeyPatch) -> Players:
    made = Players(user / "bin")
    monkeypatch.setenv("PATH", made.path)
    return made


@pytest.mark.process
def test_it_is_heard(run: Run, daemon: StandIn, players: Players) -> None:
    players.add("aplay")
    assert run("say", "Hello", "world", "--voice", "v", "--speed", "2").code == Exit.OK
    assert players.heard("aplay") == AUDIO
    assert daemon.payloads == [b"Hello world"]
    request = daemon.of(m.Synthesize)[0]
    assert (request.voice, request.speed, request.output) == ("v", 2.0, m.Output.STREAM)


def test_a_wav_file(run: Run, daemon: StandIn, user: Path) -> None:
    target = user / "x.wav"
    target.write_bytes(b"old")
    assert run("say", "-o", str(target), "Hello").code == Exit.OK
    with wave.open(str(target)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
        assert sound.readframes(10**6) == AUDIO
    assert [file.name for file in user.iterdir() if "x.wav" in file.name] == ["x.wav"]


def test_a_flac_file(run: Run, daemon: StandIn, user: Path) -> None:
    import soundfile

    target = user / "x.FLAC"
    assert run("say", "-o", str(target), "Hello").code == Exit.OK
    samples, rate = soundfile.read(target, dtype="int16")
    assert rate == RATE
    assert samples.tobytes() == AUDIO


@pytest.mark.parametrize("name", ["x.mp3", "x.ogg", "x.opus", "x.m4a", "x.M4B"])
def test_a_compressed_file(run: Run, daemon: StandIn, user: Path, name: str) -> None:
    target = user / name
    target.write_bytes(b"old")
    assert run("say", "-o", str(target), "Hello").code == Exit.OK
    sound = decoded(target)
    padding_s = (
        1024 / RATE if name.lower().endswith(("m4a", "m4b")) else 1e-3
    )  # FFmpeg reads no end of an edit list
    spoken_s = len(AUDIO) / 2 / RATE
    assert spoken_s - 1e-3 <= len(sound.samples) / sound.sample_rate_hz <= spoken_s + padding_s
    assert {file.name for file in user.iterdir()} == {name, "run"}


def test_a_compressed_file_in_a_pipe_and_by_its_format(voiced: Voiced, daemon: StandIn, user: Path) -> None:
    piped = voiced("say", "-o", "-", "--format", "mp3", "Hello")
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert voiced("say", "-o", str(user / "named"), "--format", "mp3", "Hello").returncode == 0
    assert piped.stdout == (user / "named").read_bytes()
    unknown = voiced("say", "-o", str(user / "x.aiff"), "Hello")
    assert unknown.returncode == Exit.USAGE
    assert b"end it with .wav, .flac, .mp3" in unknown.stderr


def test_pyav_is_loaded_for_what_needs_it_only(voiced: Voiced, daemon: StandIn, user: Path) -> None:
    program = (
        "import sys; from voiced.cli.dispatch import dispatch; "
        "code = dispatch(sys.argv[1:]); print('av' in sys.modules, 'numpy' in sys.modules); sys.exit(code)"
    )
    for name, shown in (("x.wav", b"False False\n"), ("x.mp3", b"True True\n")):
        command = [sys.executable, "-c", program, "say", "-o", str(user / name), "Hello"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == shown


def test_raw_and_links(run: Run, daemon: StandIn, user: Path) -> None:
    real = user / "real.raw"
    real.write_bytes(b"")
    link = user / "link"
    link.symlink_to(real)
    assert run("say", "-o", str(link), "--format", "raw", "Hello").code == Exit.OK
    assert link.is_symlink()
    assert real.read_bytes() == AUDIO


def test_standard_output(daemon: StandIn, voiced: Voiced) -> None:
    raw = voiced("say", "-o", "-", "--format", "raw", "Hello")
    assert (raw.returncode, raw.stdout, raw.stderr) == (0, AUDIO, b"")
    wav = voiced("say", "-o", "-", "Hello").stdout
    assert wav[:4] == b"RIFF"
    assert wav[24:28] == RATE.to_bytes(4, "little")
    assert wav[36:40] == b"data"
    assert wav[44:] == AUDIO
    flac = voiced("say", "-o", "-", "--format", "flac", "Hello")
    assert (flac.returncode, flac.stdout[:4], flac.stderr) == (0, b"fLaC", b"")


def test_what_is_no_ordinary_file_is_written_directly(run: Run, daemon: StandIn) -> None:
    assert run("say", "-o", "/dev/null", "--format", "wav", "Hello").code == Exit.OK
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["x.mp5", "x", "dir.wav/"])
def test_names_without_a_known_format(run: Run, daemon: StandIn, user: Path, name: str) -> None:
    ran = run("say", "-o", str(user) + "/" + name, "hi")
    assert ran.code in (Exit.USAGE, Exit.CANNOT_CREATE)
    assert len(ran.err.splitlines()) == 1


def test_a_folder_that_is_not_there(run: Run, daemon: StandIn, user: Path) -> None:
    ran = run("say", "-o", str(user / "no" / "x.wav"), "hi")
    assert ran.code == Exit.CANNOT_CREATE
    assert "No such file" in ran.err
    assert not daemon.of(m.Synthesize)


def test_a_failure_leaves_the_old_file_and_nothing_else(run: Run, daemon: StandIn, user: Path) -> None:
    target = user / "x.wav"
    target.write_bytes(b"old")

    def fails(request: m.Synthesize, payload: bytes) -> standin.Answers:
        error = m.ErrorReply(
            request_id=request.request_id, code=ErrorCode.ENGINE_CRASHED.value, message="three times"
        )
        return [*standin.begun(b"\x01\x00" * 100)(request, payload), (error, b"")]

    daemon.answers[m.Synthesize] = fails
    for name in ("x.wav", "y.wav", "z.flac", "z.mp3"):
        ran = run("say", "-o", str(user / name), "hi")
        assert (ran.code, ran.err) == (Exit.FAILED, "voiced: three times\n")
    assert target.read_bytes() == b"old"
    assert {file.name for file in user.iterdir()} == {"x.wav", "run"}


def test_no_sound_is_no_file(run: Run, daemon: StandIn, user: Path) -> None:
    daemon.answers[m.Synthesize] = standin.spoken()
    ran = run("say", "-o", str(user / "x.wav"), "...")
    assert ran.code == Exit.DATA
    assert not (user / "x.wav").exists()


def test_notes_are_told_once(run: Run, daemon: StandIn, user: Path) -> None:
    daemon.answers[m.Synthesize] = standin.spoken(b"\0\0", notes=("cuda is not there: cpu",))
    ran = run("say", "-o", str(user / "x.wav"), "hi")
    assert (ran.code, ran.err) == (Exit.OK, "voiced: note: cuda is not there: cpu\n")


@pytest.mark.process
def test_a_note_is_told_before_the_first_word(daemon: StandIn) -> None:
    """What is paused may stay silent for hours."""

    def waits(request: m.Synthesize, payload: bytes) -> standin.Answers:
        (accepted, audio), *_ = standin.begun()(request, payload)
        return [(msgspec.structs.replace(accepted, notes=["everything is paused"]), audio)]

    daemon.answers[m.Synthesize] = waits
    command = [sys.executable, "-m", "voiced", "say", "-o", "/dev/null", "--format", "raw", "hi"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as saying:
        assert saying.stderr is not None
        assert saying.stderr.readline() == b"voiced: note: everything is paused\n"
        saying.send_signal(signal.SIGINT)
        assert saying.wait(10) == Exit.INTERRUPTED


def test_where_the_text_comes_from(daemon: StandIn, voiced: Voiced, user: Path) -> None:
    file = user / "text.txt"
    file.write_bytes("\ufeffGrüße".encode())
    out = ("-o", "-", "--format", "raw")
    for arguments, typed in ((["-f", str(file)], b""), (["-"], "Grüße".encode()), ([], "Grüße".encode())):
        assert voiced("say", *out, *arguments, input=typed).returncode == 0
    assert daemon.payloads == ["Grüße".encode()] * 3


def test_a_document_is_read_as_the_daemon_reads_it(run: Run, daemon: StandIn, user: Path) -> None:
    page = "<html><head><title>T</title><style>p {}</style></head><body><p>Good <b>day</b>.</p></body></html>"
    (user / "page.html").write_text(page)
    (user / "note.md").write_text("# A *note*\n\n[Link](http://nowhere.example) here.")
    (user / "old.txt").write_bytes("Grüße aus der Küche, schöne Öfen.".encode("latin-1"))
    build_epub(user / "lamp.epub", Book())
    spoken = []
    for name in ("page.html", "note.md", "old.txt", "lamp.epub"):
        ran = run("say", "-o", str(user / "x.wav"), "-f", str(user / name))
        assert (ran.code, ran.err) == (Exit.OK, "")
        spoken.append(daemon.payloads[-1].decode())
    assert spoken[:3] == ["Good day.", "A note\n\nLink here.", "Grüße aus der Küche, schöne Öfen."]
    assert "The Harbour" in spoken[3]
    assert "<" not in spoken[3]


def test_a_document_that_cannot_be_read_says_why(run: Run, daemon: StandIn, user: Path) -> None:
    (user / "paper.pdf").write_bytes(b"%PDF-1.7")
    ran = run("say", "-f", str(user / "paper.pdf"))
    assert ran.code == Exit.DATA
    assert "PDF is not read" in ran.err
    assert not daemon.of(m.Synthesize)


@pytest.mark.parametrize(
    ("arguments", "typed", "code"),
    [
        (["-f", "/no/such/file"], b"", Exit.NO_INPUT),
        (["-"], b"\xff\xfea\0", Exit.DATA),
        (["-"], b" \n", Exit.DATA),
        (["", " "], b"", Exit.DATA),
        (["-f", "x", "words"], b"", Exit.USAGE),
    ],
)
def test_texts_that_are_none(voiced: Voiced, arguments: list[str], typed: bytes, code: Exit) -> None:
    done = voiced("say", *arguments, input=typed)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1


def test_long_texts_go_in_pieces(run: Run, daemon: StandIn, user: Path) -> None:
    text = "A paragraph of a long text.\n\n" * 30_000
    (user / "long.txt").write_text(text)
    assert run("say", "-f", str(user / "long.txt"), "-o", str(user / "x.raw")).code == Exit.OK
    assert len(daemon.payloads) == 2
    assert b"".join(daemon.payloads).decode() == text
    assert all(len(piece) <= m.MAX_TEXT_BYTES and piece.endswith(b"\n\n") for piece in daemon.payloads)
    assert (user / "x.raw").read_bytes() == AUDIO * 2


@given(st.text(alphabet="ab é書\n ", max_size=300), st.integers(8, 60))
def test_pieces_are_the_text(text: str, limit: int) -> None:
    try:
        pieces = pieces_of(text, limit)
    except CommandFailed:
        assert max(len(word.encode()) for word in text.replace("\n", " ").split(" ")) >= limit - 2
        return
    assert all(len(piece.encode()) <= limit for piece in pieces)
    assert "".join(pieces).split() == text.split()


def test_a_text_beyond_all_measure() -> None:
    with pytest.raises(CommandFailed, match="voiced drop"):
        pieces_of("a " * 400, 10)


def test_a_daemon_that_says_no(run: Run, daemon: StandIn, players: Players) -> None:
    daemon.answers[m.Synthesize] = standin.refuse(
        ErrorCode.UNKNOWN_VOICE, "no voice x; `voiced voices` lists them"
    )
    ran = run("say", "--voice", "x", "hi")
    assert (ran.code, ran.err) == (Exit.DATA, "voiced: no voice x; `voiced voices` lists them\n")


def test_no_player_is_one_clear_sentence(run: Run, daemon: StandIn, players: Players) -> None:
    ran = run("say", "hi")
    assert ran.code == Exit.FAILED
    assert "-o FILE" in ran.err
    assert daemon.await_request(m.Cancel).job_id == daemon.of(m.Synthesize)[0].request_id


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_is_silent_first_and_cancels(
    daemon: StandIn, players: Players, number: signal.Signals, code: int
) -> None:
    """The player ends before the daemon has even answered the cancel."""
    players.add("aplay", "/usr/bin/head -c 2 > $0.heard; exec /bin/sleep 600")
    daemon.answers[m.Synthesize] = standin.begun(AUDIO)
    was_silent = []

    def cancelled(request: m.Cancel, payload: bytes) -> standin.Answers:
        was_silent.append(not is_alive(players.pid("aplay")))
        return standin.done()(request, payload)

    daemon.answers[m.Cancel] = cancelled
    process = subprocess.Popen([sys.executable, "-m", "voiced", "say", "hi"], stderr=subprocess.PIPE)
    end = time.monotonic() + 10
    while not players.heard("aplay"):
        assert time.monotonic() < end
        os.sched_yield()
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (code, b"")
    assert daemon.of(m.Cancel)[0].job_id == daemon.of(m.Synthesize)[0].request_id
    assert was_silent[0]


@pytest.mark.process
def test_an_interruption_before_the_first_sound_cancels(daemon: StandIn, user: Path) -> None:
    """A text is planned, or a model loaded: the daemon has said nothing yet."""
    daemon.answers[m.Synthesize] = lambda request, payload: []
    command = [sys.executable, "-m", "voiced", "say", "-o", str(user / "x.wav"), "hi"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    daemon.await_request(m.Synthesize)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == Exit.INTERRUPTED
    assert daemon.of(m.Cancel)[0].job_id == daemon.of(m.Synthesize)[0].request_id


@pytest.mark.process
@pytest.mark.parametrize("name", ["x.wav", "x.mp3"])
def test_an_interruption_leaves_no_file(daemon: StandIn, user: Path, name: str) -> None:
    daemon.answers[m.Synthesize] = standin.begun(AUDIO)
    target = user / name
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", "say", "-o", str(target), "hi"], stderr=subprocess.PIPE
    )
    daemon.await_request(m.Synthesize)
    end = time.monotonic() + 10
    while not any(file.name == "pcm" or is_growing(file) for file in user.rglob("*")):
        assert time.monotonic() < end
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == Exit.INTERRUPTED
    assert {file.name for file in user.iterdir()} == {"run"}
    daemon.await_request(m.Cancel)


def is_growing(file: Path) -> bool:
    return file.name.endswith(".part") and file.stat().st_size > 80
