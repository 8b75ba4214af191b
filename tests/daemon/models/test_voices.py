"""Added voices on the disk: whole or not there, whatever happens between."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.models.voices import VOICE_FILE, Recording, Voice, Voices, check_name, recordings_digest
from voiced_ipc.errors import InvalidRequest, UnknownVoice

ONE = Recording("ref-1.wav", "a" * 64, 12.5, 24000, "Hello.")
TWO = Recording("ref-2.wav", "b" * 64, 20.0, 48000)


@pytest.fixture
def voices(tmp_path: Path) -> Voices:
    return Voices(tmp_path / "voices")


def add(voices: Voices, name: str, *recordings: Recording, replace: bool = False, **words: str) -> Voice:
    staging = voices.stage()
    for recording in recordings:
        (staging / recording.file).write_bytes(b"RIFF")
    return voices.publish(staging, Voice(name, staging, recordings, **words), replace=replace)


class TestNames:
    @pytest.mark.parametrize("name", ["anna", "A-1_b", "x" * 64])
    def test_good(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "..", ".a", "ä", "a\n", "a.b", "a\0"])
    def test_bad(self, name: str) -> None:
        with pytest.raises(InvalidRequest):
            check_name(name)


class TestDigest:
    def test_it_covers_what_is_heard(self) -> None:
        voice = Voice("anna", Path(), (ONE, TWO), "calm")
        assert voice.digest == voice._replace(voice="bob", language="de", created="x").digest
        others = [
            voice._replace(recordings=(TWO, ONE)),
            voice._replace(recordings=(ONE,)),
            voice._replace(recordings=(ONE._replace(transcript=""), TWO)),
            voice._replace(recordings=(ONE._replace(sha256="c" * 64), TWO)),
            voice._replace(description=""),
        ]
        assert len({voice.digest, *(other.digest for other in others)}) == 6
        assert recordings_digest([ONE]) != recordings_digest([ONE, TWO])

    @given(st.lists(st.text(max_size=4), max_size=3), st.lists(st.text(max_size=4), max_size=3))
    def test_no_two_ways_to_cut_the_same_letters_meet(self, one: list[str], other: list[str]) -> None:
        def digest(transcripts: list[str]) -> str:
            return recordings_digest([ONE._replace(transcript=text) for text in transcripts])

        assert (digest(one) == digest(other)) is (one == other)


class TestLife:
    def test_a_voice_is_what_was_added_also_for_another_reader(self, voices: Voices) -> None:
        made = add(voices, "anna", ONE, TWO, language="en", created="2026-01-01", request_id="r")
        add(voices, "captain", description="An old man.")
        assert Voices(voices.folder).all() == voices.all() == [made, voices.find("captain")]
        assert (made.kind, made.seconds) == ("prompt", 32.5)
        assert voices.get("anna", made.digest) == made
        assert [voice.kind for voice in voices.all()] == ["prompt", "description"]

    def test_nobody_else_may_read_it(self, voices: Voices) -> None:
        made = add(voices, "anna", ONE)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.folder.iterdir()}
        assert modes == {VOICE_FILE: 0o600, "ref-1.wav": 0o600}
        assert stat.S_IMODE(made.folder.stat().st_mode) == stat.S_IMODE(voices.folder.stat().st_mode) == 0o700

    def test_the_same_name_is_refused_unless_it_is_to_be_replaced(self, voices: Voices) -> None:
        first = add(voices, "anna", ONE)
        for name in ("anna", "Anna"):
            with pytest.raises(InvalidRequest, match="anna already"):
                add(voices, name, TWO)
        assert voices.all() == [first]
        second = add(voices, "Anna", TWO._replace(file="ref-1.wav"), replace=True)
        assert voices.all() == [second]
        assert [path.name for path in voices.folder.iterdir() if not path.name.startswith(".adding")] == [
            "Anna"
        ]

    def test_removing(self, voices: Voices) -> None:
        made = add(voices, "anna", ONE)
        assert voices.remove("anna") == made
        assert (voices.all(), list(voices.folder.iterdir())) == ([], [])
        for _ in range(2):
            with pytest.raises(UnknownVoice, match="voice list"):
                voices.remove("anna")

    def test_no_folder(self, tmp_path: Path) -> None:
        voices = Voices(tmp_path / "nowhere")
        voices.sweep()
        assert voices.all() == []
        assert voices.find("anna") is None

    def test_a_job_finds_its_own_voice_or_none(self, voices: Voices) -> None:
        first = add(voices, "anna", ONE)
        add(voices, "anna", ONE._replace(transcript="Other."), replace=True)
        with pytest.raises(UnknownVoice, match="was replaced"):
            voices.get("anna", first.digest)
        with pytest.raises(UnknownVoice, match="was removed"):
            voices.get("bob", first.digest)

    def test_publishing_what_cannot_be_written_leaves_the_old_one(self, voices: Voices) -> None:
        first = add(voices, "anna", ONE)
        staging = voices.stage()  # without the recording that it says it has
        with pytest.raises(FileNotFoundError):
            voices.publish(staging, Voice("anna", staging, (TWO,)), replace=True)
        assert Voices(voices.folder).all() == [first]


class TestAfterACrash:
    def test_half_made_voices_go(self, voices: Voices) -> None:
        made = add(voices, "anna", ONE)
        (voices.stage() / "ref-1.wav").write_bytes(b"x")
        voices.sweep()
        assert list(voices.folder.iterdir()) == [made.folder]

    @pytest.mark.parametrize("has_new", [True, False])
    def test_a_voice_is_the_old_one_or_the_new_one(self, voices: Voices, has_new: bool) -> None:
        made = add(voices, "anna", ONE)
        made.folder.rename(voices.folder / ".replaced-anna")
        if has_new:
            add(voices, "anna", TWO._replace(file="ref-1.wav"), replace=True)
        again = Voices(voices.folder)
        again.sweep()
        assert [voice.recordings[0].sha256 for voice in again.all()] == [("b" if has_new else "a") * 64]
        assert [path.name for path in voices.folder.iterdir()] == ["anna"]


class TestWhatLiesThere:
    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"[]",
            b"{}",
            b"\xff",
            b"[" * 100_000,
            json.dumps({"version": 2}).encode(),
        ],
    )
    def test_a_damaged_voice_is_left_out_and_stays(self, voices: Voices, text: bytes) -> None:
        made = add(voices, "anna", ONE)
        add(voices, "bob", ONE)
        (made.folder / VOICE_FILE).write_bytes(text)
        assert [voice.voice for voice in Voices(voices.folder).all()] == ["bob"]
        assert (made.folder / "ref-1.wav").exists()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("file", "../../etc/passwd"),
            ("file", "/etc/passwd"),
            ("file", 3),
            ("sha256", "a"),
            ("seconds", "x"),
            ("seconds", None),
            ("transcript", 5),
        ],
    )
    def test_a_recording_that_leads_elsewhere_is_none(
        self, voices: Voices, field: str, value: object
    ) -> None:
        made = add(voices, "anna", ONE)
        content = json.loads((made.folder / VOICE_FILE).read_bytes())
        content["recordings"][0][field] = value
        (made.folder / VOICE_FILE).write_text(json.dumps(content))
        assert Voices(voices.folder).all() == []

    def test_strange_folders_are_passed_over(self, voices: Voices, tmp_path: Path) -> None:
        made = add(voices, "anna", ONE)
        (voices.folder / "a b").mkdir()
        (voices.folder / "file").touch()
        (voices.folder / "empty").mkdir()
        (voices.folder / "link").symlink_to(made.folder)
        os.mkfifo(voices.folder / "pipe")
        assert Voices(voices.folder).all() == [made]
