"""`voiced voice`: what is sent to the daemon, what is printed, and which files are taken back in."""

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run
from tests.daemon.cli.standin import Answers, StandIn
from voiced.cli.exits import Exit
from voiced.cli.voice_archive import MAX_FILES, unpack_voice
from voiced.models.voices import VOICE_FILE, Recording, Voice, Voices
from voiced.paths import find_paths
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode


class Shop:
    """The daemon's side of adding: notes what lay in the incoming folder, and its permissions."""

    def __init__(self, daemon: StandIn, incoming: Path) -> None:
        self.incoming = incoming
        self.contents: list[bytes] = []
        self.modes: list[int] = []
        incoming.mkdir(mode=0o700)
        daemon.answers[m.GetStatus] = standin.statuses(incoming_folder=str(incoming))
        daemon.answers[m.AddVoice] = self._add

    def _add(self, request: m.AddVoice, payload: bytes) -> Answers:
        for reference in request.references:
            path = self.incoming / reference.incoming
            self.contents.append(path.read_bytes())
            self.modes.append(stat.S_IMODE(path.stat().st_mode))
        voice = m.VoiceInfo(
            voice=request.voice,
            name=request.voice,
            model="",
            language=request.language,
            kind="prompt" if request.references else "description",
            references=len(request.references),
            reference_s=12.5 * len(request.references),
        )
        return [(m.VoiceReply(request_id=request.request_id, voice=voice, notes=["speak longer"]), b"")]


@pytest.fixture
def shop(daemon: StandIn, user: Path) -> Shop:
    return Shop(daemon, user / "incoming")


@pytest.fixture
def recordings(user: Path) -> list[str]:
    paths = [user / "one.wav", user / "two.wav"]
    for path in paths:
        path.write_bytes(path.name.encode())
    return [str(path) for path in paths]


class TestAdd:
    def test_recordings_travel_as_files_and_leave_nothing(
        self, run: Run, daemon: StandIn, shop: Shop, recordings: list[str]
    ) -> None:
        ran = run("voice", "add", "anna", *recordings, "--text", "Hello.", "--language", "en", "--replace")
        assert (ran.code, ran.err) == (Exit.OK, "")
        assert "anna: made of 2 recordings, 25.0 s" in ran.out
        assert "note: speak longer" in ran.out
        (request,) = daemon.of(m.AddVoice)
        assert [reference.transcript for reference in request.references] == ["Hello.", ""]
        assert (request.voice, request.language, request.replace) == ("anna", "en", True)
        assert shop.contents == [b"one.wav", b"two.wav"]
        assert shop.modes == [0o600, 0o600]
        assert list(shop.incoming.iterdir()) == []
        assert all(Path(path).exists() for path in recordings)

    def test_words(self, run: Run, daemon: StandIn, shop: Shop) -> None:
        ran = run("voice", "add", "captain", "--describe", "An old man.", "--json")
        assert json.loads(ran.out)["voice"]["kind"] == "description"
        assert daemon.of(m.AddVoice)[0].description == "An old man."

    def test_a_refusal_is_told_and_leaves_nothing(
        self, run: Run, daemon: StandIn, shop: Shop, recordings: list[str]
    ) -> None:
        daemon.answers[m.AddVoice] = standin.refuse(ErrorCode.REFERENCE_REFUSED, "it is silent: look why")
        ran = run("voice", "add", "anna", *recordings)
        assert (ran.code, ran.err) == (Exit.DATA, "voiced: it is silent: look why\n")
        assert list(shop.incoming.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["voice", "add", "anna"], Exit.USAGE),
            (["voice", "add", "anna", "/nowhere.wav"], Exit.NO_INPUT),
            (["voice", "add", "anna", "/"], Exit.NO_INPUT),
            (["voice", "add", "anna", "--describe", " "], Exit.USAGE),
            (["voice", "add"], Exit.USAGE),
            (["voice"], Exit.USAGE),
            (["voice", "sing"], Exit.USAGE),
        ],
    )
    def test_mistakes(self, run: Run, shop: Shop, arguments: list[str], code: Exit) -> None:
        assert run(*arguments).code == code

    def test_more_texts_than_recordings(self, run: Run, shop: Shop, recordings: list[str]) -> None:
        ran = run("voice", "add", "anna", recordings[0], "--text", "a", "--text", "b")
        assert ran.code == Exit.USAGE


def add_voice(name: str = "anna", description: str = "") -> Voice:
    """A voice as the daemon leaves it."""
    voices = Voices(find_paths().voices)
    staging = voices.stage()
    (staging / "ref-1.wav").write_bytes(b"RIFF and more")
    recording = Recording("ref-1.wav", "a" * 64, 12.5, 24000, "Hello.")
    voice = Voice(name, staging, (recording,), description, "en", "2026-01-02T03:04:05+00:00")
    return voices.publish(staging, voice)


class TestList:
    def test_none(self, run: Run) -> None:
        assert "voiced voice add" in run("voice", "list").out
        assert json.loads(run("voice", "list", "--json").out) == {"voices": []}

    def test_some(self, run: Run) -> None:
        add_voice()
        header, line = run("voice", "list").out.splitlines()
        assert header.split() == [
            *("VOICE", "KIND", "LANGUAGE", "RECORDINGS", "LENGTH", "TRANSCRIPT", "ADDED", "DESCRIPTION"),
        ]
        assert line.split() == ["anna", "prompt", "en", "1", "12.5", "s", "yes", "2026-01-02"]
        (voice,) = json.loads(run("voice", "list", "--json").out)["voices"]
        assert voice["recordings"][0]["transcript"] == "Hello."

    def test_remove(self, run: Run, daemon: StandIn) -> None:
        daemon.answers[m.RemoveVoice] = standin.done("the voice is removed")
        assert run("voice", "remove", "anna", "bob").out == "the voice is removed\n" * 2
        assert [request.voice for request in daemon.of(m.RemoveVoice)] == ["anna", "bob"]


class TestArchive:
    def test_there_and_back(self, run: Run, daemon: StandIn, shop: Shop, user: Path) -> None:
        add_voice(description="Calm.")
        file = user / "anna.zip"
        assert run("voice", "export", "anna", str(file)).code == Exit.OK
        assert run("voice", "import", str(file), "--name", "eve").code == Exit.OK
        (request,) = daemon.of(m.AddVoice)
        assert (request.voice, request.description, request.language) == ("eve", "Calm.", "en")
        assert [reference.transcript for reference in request.references] == ["Hello."]
        assert shop.contents == [b"RIFF and more"]

    def test_nothing_is_overwritten(self, run: Run, user: Path) -> None:
        add_voice()
        file = user / "anna.zip"
        file.write_text("mine")
        assert run("voice", "export", "anna", str(file)).code == Exit.CANNOT_CREATE
        assert file.read_text() == "mine"
        assert run("voice", "export", "nobody", str(user / "other.zip")).code == Exit.DATA
        assert not (user / "other.zip").exists()

    def test_no_file(self, run: Run, user: Path) -> None:
        assert run("voice", "import", str(user / "none.zip")).code == Exit.NO_INPUT

    @pytest.mark.parametrize(
        "members",
        [
            {},
            {"anna/voice.json": "{}"},
            {"anna/voice.json": "GOOD"},
            {"anna/voice.json": "GOOD", "../ref-1.wav": "x"},
            {"anna/voice.json": "GOOD", "/etc/ref-1.wav": "x"},
            {"anna/voice.json": "GOOD", "anna/../ref-1.wav": "x"},
            {"anna/voice.json": "GOOD", "anna/ref-1.wav": "x", "anna/run.sh": "x"},
            {"anna/voice.json": "GOOD", "bob/ref-1.wav": "x"},
            {"anna/voice.json": "GOOD", "anna/ref-99.wav": "x"},
            {"../voice.json": "GOOD", "../ref-1.wav": "x"},
            {"voice.json": "GOOD", "ref-1.wav": "x"},
            {f"anna/ref-{n}.wav": "x" for n in range(1, MAX_FILES + 1)},
        ],
    )
    def test_what_is_no_voice_is_refused(
        self, run: Run, daemon: StandIn, shop: Shop, user: Path, members: dict[str, str]
    ) -> None:
        good = (add_voice().folder / VOICE_FILE).read_text()
        file = user / "bad.zip"
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, good if content == "GOOD" else content)
        before = sorted(user.rglob("*"))
        ran = run("voice", "import", str(file))
        assert (ran.code, daemon.of(m.AddVoice)) == (Exit.DATA, [])
        assert "is no voice that" in ran.err
        assert sorted(user.rglob("*")) == before

    def test_damage_and_bombs(self, user: Path) -> None:
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("anna/voice.json", " " * (80 << 20))
        for number, content in enumerate((whole.getvalue(), whole.getvalue()[:-30], b"PK", b"")):
            file = user / f"{number}.zip"
            file.write_bytes(content)
            place = user / str(number)
            place.mkdir()
            with pytest.raises(Exception, match="is no voice that") as refused:
                unpack_voice(file, place)
            assert getattr(refused.value, "exit", None) == Exit.DATA
            assert sum(path.stat().st_size for path in place.rglob("*")) == 0 or number == 0


def test_say_and_drop_pass_the_description_on(run: Run, daemon: StandIn, user: Path) -> None:
    fields: dict[str, Any] = {"voice": "captain", "description": "Whispering."}
    ran = run("say", "-o", str(user / "a.wav"), "--voice", "captain", "--describe", "Whispering.", "Hello")
    assert ran.code == Exit.OK
    (request,) = daemon.of(m.Synthesize)
    assert {name: getattr(request, name) for name in fields} == fields
