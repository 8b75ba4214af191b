"""Keys, bounds and reasons of the caches; what the prompt cache makes of a folder. No tensors are made here."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.models.cache_index import Bounds, CacheIndex, Entry, clear_folder, to_evict, why_missed
from voiced.models.prompt_cache import PromptCache, prompt_key
from voiced.models.prompt_file import PromptFacts, pack_facts
from voiced.models.voices import Recording, Voice, Voices
from voiced_ipc.errors import UnknownVoice

SMALL = {"model": "qwen3-tts:0.6b", "width": "1024", "precision": "fp32", "code": "1"}
LARGE = SMALL | {"model": "qwen3-tts:1.7b", "width": "2048"}
ANNA = [("a" * 64, "Hello.")]

_words = st.text(max_size=8)
_identities = st.dictionaries(_words, _words, max_size=4)
_recordings = st.lists(st.tuples(_words, _words), max_size=3)


class TestKey:
    def test_the_size_of_the_model_counts(self) -> None:
        assert prompt_key(ANNA, SMALL) != prompt_key(ANNA, LARGE)
        assert prompt_key(ANNA, SMALL) == prompt_key(ANNA, dict(reversed(SMALL.items())))
        assert len(bytes.fromhex(prompt_key(ANNA, SMALL))) == 32

    @pytest.mark.parametrize("name", SMALL)
    def test_every_part_of_the_identity_counts(self, name: str) -> None:
        assert prompt_key(ANNA, SMALL | {name: "other"}) != prompt_key(ANNA, SMALL)
        assert prompt_key(ANNA, SMALL | {"revision": "abc"}) != prompt_key(ANNA, SMALL)

    def test_audio_transcript_and_order_count(self) -> None:
        bob = ("b" * 64, "Hello.")
        keys = {
            prompt_key(recordings, SMALL)
            for recordings in (
                ANNA,
                [bob],
                [(ANNA[0][0], "Goodbye.")],
                [(ANNA[0][0], "")],
                [*ANNA, bob],
                [bob, *ANNA],
                [],
            )
        }
        assert len(keys) == 7

    @given(_recordings, _identities, _recordings, _identities)
    def test_it_is_a_name_of_what_goes_in(
        self,
        one: list[tuple[str, str]],
        identity: dict[str, str],
        other: list[tuple[str, str]],
        another: dict[str, str],
    ) -> None:
        is_same = (one, identity) == (other, another)
        assert (prompt_key(one, identity) == prompt_key(other, another)) is is_same


def entry(key: str, **changes: Any) -> Entry:
    return Entry(key, "tone", "anna", "content", 10, 100.0)._replace(**changes)


class TestBounds:
    @given(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20),
        st.integers(0, 200),
        st.integers(0, 10),
        st.integers(0, 25),
    )
    def test_what_stays_fits_and_is_the_latest(
        self, sizes: list[tuple[int, int]], max_bytes: int, max_entries: int, kept: int
    ) -> None:
        entries = [
            entry(f"{place:02}", size_bytes=size, used_s=float(used))
            for place, (size, used) in enumerate(sizes)
        ]
        bounds = Bounds(max_bytes, max_entries)
        gone = to_evict(entries, bounds, f"{kept:02}")
        stays = [one for one in entries if one not in gone]
        others = [one for one in stays if one.key != f"{kept:02}"]
        assert len(stays) <= max_entries or not others
        assert sum(one.size_bytes for one in stays) <= max_bytes or not others
        assert all(old.used_s <= young.used_s for old in gone for young in others)
        # Nothing goes that could have stayed: without the last that went, it would not fit.
        if gone:
            back = [*stays, gone[-1]]
            assert len(back) > max_entries or sum(one.size_bytes for one in back) > max_bytes

    def test_an_evicted_entry_is_removed_and_remembered(self, tmp_path: Path) -> None:
        removed: list[str] = []
        index = CacheIndex(Bounds(25, 100), lambda key: tmp_path / key, removed.append)
        for place, key in enumerate("abc"):
            gone = index.put(entry(key, used_s=float(place)))
        assert ([one.key for one in gone], removed) == (["a"], ["a"])
        assert index.why_missed(entry("a")) == "evicted"
        assert [one.key for one in index.entries] == ["c", "b"]
        index.put(entry("b", used_s=100.0))
        assert [one.key for one in index.entries] == ["b", "c"]
        assert [one.key for one in index.put(entry("a", used_s=200.0))] == ["c"]

    def test_the_last_use_is_written_to_the_file_now_and_then(self, tmp_path: Path) -> None:
        file = tmp_path / "a"
        file.touch()
        index = CacheIndex(Bounds(1 << 20, 100), lambda key: tmp_path / key, lambda key: None)
        for used_s, written_s in ((1000.0, 1000.0), (1030.0, 1000.0), (1060.0, 1060.0)):
            index.put(entry("a", used_s=used_s))
            assert file.stat().st_mtime == written_s
        index.put(entry("gone", used_s=1.0))

    def test_a_clock_that_was_ahead_keeps_nothing_for_ever(self, tmp_path: Path) -> None:
        """What is used each day stays; what was last used under the wrong clock goes when its turn comes."""
        gone: list[str] = []
        index = CacheIndex(Bounds(1 << 20, 2), lambda key: tmp_path / key, gone.append)
        for key in ("a", "b", "c"):
            (tmp_path / key).touch()
        index.put(entry("a", used_s=9e9))
        index.put(entry("b", used_s=1000.0))
        assert [one.key for one in index.entries] == ["b", "a"]
        assert index.entries[1].used_s == (tmp_path / "a").stat().st_mtime == 999.0
        index.put(entry("b", used_s=1100.0))
        index.put(entry("c", used_s=1200.0))
        assert gone == ["a"]

    def test_a_clock_that_was_set_back_keeps_the_order(self, tmp_path: Path) -> None:
        index = CacheIndex(Bounds(1 << 20, 100), lambda key: tmp_path / key, lambda key: None)
        index.put(entry("old", used_s=500.0))
        for place, key in enumerate("abcd"):
            index.put(entry(key, used_s=2000.0 + place))
        index.put(entry("now", used_s=1000.0))
        assert [one.key for one in index.entries] == ["now", *"dcba", "old"]
        assert all(one.used_s <= 1000.0 for one in index.entries)

    def test_what_lies_on_the_disk_from_the_future_is_brought_back(self, tmp_path: Path) -> None:
        index = CacheIndex(Bounds(1 << 20, 100), lambda key: tmp_path / key, lambda key: None)
        for key in ("a", "b", "c"):
            (tmp_path / key).touch()
        index.replace([entry("a", used_s=9e9), entry("b", used_s=8e9), entry("c", used_s=1.0)], 1000.0)
        assert [(one.key, one.used_s) for one in index.entries] == [("a", 999.0), ("b", 998.0), ("c", 1.0)]
        assert (tmp_path / "b").stat().st_mtime == 998.0


class TestReasons:
    @pytest.mark.parametrize(
        ("known", "gone", "reason"),
        [
            ([], "", "first use"),
            ([entry("x", voice="bob")], "", "first use"),
            ([entry("x", model="qwen3-tts:1.7b")], "", "other model: qwen3-tts:1.7b"),
            ([entry("x", content="old")], "", "changed recording"),
            ([entry("x")], "", "other build of tone"),
            ([entry("x", model="a", used_s=1.0), entry("y", model="b", used_s=2.0)], "", "other model: b"),
            ([entry("x", model="a")], "evicted", "evicted"),
        ],
    )
    def test_each(self, known: list[Entry], gone: str, reason: str) -> None:
        assert why_missed(entry("wanted"), known, gone) == reason


# -- a folder -----------------------------------------------------------------------------------------


def write_prompt(folder: Path, key: str, *, used_s: float = 100.0, **changes: Any) -> Path:
    """A file as a worker writes it, with one number in it."""
    facts = PromptFacts(key, SMALL, "anna", "content", "0" * 64, {})._replace(**changes)
    header = json.dumps(
        {
            "__metadata__": pack_facts(facts),
            "loudness": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        }
    ).encode()
    path = folder / f"{key}.prompt"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    os.utime(path, (used_s, used_s))
    return path


KEYS = [f"{place:064x}" for place in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "prompts"
    made.mkdir()
    return made


def cache_of(folder: Path, **options: Any) -> PromptCache:
    voices = Voices(folder.parent / "voices")
    return PromptCache(folder, voices, **({"max_bytes": 1 << 20} | options))


class TestFolder:
    def test_entries_outlast_a_restart_with_their_last_use(self, folder: Path) -> None:
        write_prompt(folder, KEYS[0], used_s=5.0)
        write_prompt(folder, KEYS[1], used_s=9.0, identity=LARGE, voice="bob")
        found = cache_of(folder).index.entries
        assert [(one.key, one.model, one.voice, one.used_s) for one in found] == [
            (KEYS[1], "qwen3-tts:1.7b", "bob", 9.0),
            (KEYS[0], "qwen3-tts:0.6b", "anna", 5.0),
        ]

    def test_no_folder_is_an_empty_cache(self, tmp_path: Path) -> None:
        cache = cache_of(tmp_path / "nowhere")
        assert len(cache.index) == 0
        assert cache.clear() == 0

    def test_old_and_foreign_files_stay_and_cost_nothing(self, folder: Path) -> None:
        strange = {
            "e945d48a7a466d509249990b5420a23a.prompt": b"an old key",
            "6342f863679f4c2c557755e6df44aa3e.pt": b"\x80\x02",
            "notes.txt": b"mine",
            f"{KEYS[0]}.pt": b"x",
            f"{KEYS[0].upper()[:-1]}F.prompt": b"x",
        }
        for name, content in strange.items():
            (folder / name).write_bytes(content)
        (folder / "folder").mkdir()
        write_prompt(folder, KEYS[1])
        assert [one.key for one in cache_of(folder).index.entries] == [KEYS[1]]
        assert {name: (folder / name).read_bytes() for name in strange} == strange

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff" * 7,
            b"\xff" * 200,
            (2).to_bytes(8, "little") + b"{}",
            (5).to_bytes(8, "little") + b"[1,2]",
            (4).to_bytes(8, "little") + b"{\xff\xff}",
            (1 << 40).to_bytes(8, "little") + b"{}",
            (20000).to_bytes(8, "little") + b"[" * 20000,
        ],
    )
    def test_a_damaged_file_of_ours_goes(self, folder: Path, content: bytes) -> None:
        path = folder / f"{KEYS[0]}.prompt"
        path.write_bytes(content)
        cache = cache_of(folder)
        assert len(cache.index) == 0
        assert not path.exists()
        assert cache.index.why_missed(entry(KEYS[0])) == "file damaged"

    def test_a_file_under_another_name_goes(self, folder: Path) -> None:
        write_prompt(folder, KEYS[0]).rename(folder / f"{KEYS[1]}.prompt")
        assert len(cache_of(folder).index) == 0

    def test_what_a_crash_left_half_written_goes(self, folder: Path) -> None:
        (folder / ".voiced-0123456789abcdef.tmp").write_bytes(b"x")
        assert len(cache_of(folder).index) == 0
        assert list(folder.iterdir()) == []

    def test_bounds_hold_from_the_start(self, folder: Path) -> None:
        paths = [write_prompt(folder, key, used_s=float(place)) for place, key in enumerate(KEYS)]
        size = paths[0].stat().st_size
        assert [one.key for one in cache_of(folder, max_bytes=2 * size).index.entries] == [KEYS[4], KEYS[3]]
        assert [path.exists() for path in paths] == [False, False, False, True, True]

    def test_clear_empties_it_whoever_made_the_files(self, folder: Path) -> None:
        write_prompt(folder, KEYS[0])
        (folder / "old.pt").write_bytes(b"x")
        (folder / "folder").mkdir()
        cache = cache_of(folder)
        assert cache.clear() == 2
        assert [path.name for path in folder.iterdir()] == ["folder"]
        assert len(cache.index) == 0
        assert cache.index.why_missed(entry(KEYS[0])) == "cleared"

    def test_a_link_is_removed_and_not_followed(self, folder: Path, tmp_path: Path) -> None:
        aside = tmp_path / "precious"
        aside.mkdir()
        (aside / "file").touch()
        (folder / "link").symlink_to(aside)
        assert clear_folder(folder) == 1
        assert (aside / "file").exists()


# -- asking and telling -------------------------------------------------------------------------------


def ready(identity: Mapping[str, str] = SMALL, **changes: Any) -> dict[str, Any]:
    return {"identities": ["prompt"], "identity": dict(identity), "can_blend": True} | changes


class Player:
    """A prompt cache with voices, and a worker that says what it is told to."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.now_s = 1000.0
        self.voices = Voices(folder.parent / "voices")
        self.cache = PromptCache(
            folder, self.voices, clock=lambda: self.now_s, **({"max_bytes": 1 << 20} | options)
        )

    def add(self, name: str, *recordings: str, transcript: str = "") -> Voice:
        staging = self.voices.stage()
        made = []
        for place, sha256 in enumerate(recordings, 1):
            (staging / f"ref-{place}.wav").touch()
            made.append(Recording(f"ref-{place}.wav", sha256 * 64, 12.0, 24000, transcript))
        description = "" if made else "a calm voice"
        voice = Voice(name, staging, tuple(made), description)
        return self.voices.publish(staging, voice, replace=True)

    def speak(self, voice: Voice, job: str = "job", **fields: Any) -> dict[str, Any]:
        """Ask for a voice as the scheduler does, and answer as a worker does."""
        asked: dict[str, Any] | None = self.cache.ask(voice.voice, voice.digest, ready(**fields))
        assert asked is not None
        self.now_s += 1
        path = Path(asked["file"])
        answer = {"source": "file", "bytes": 4, "took_ms": 1.5, "reason": ""}
        if not path.exists():
            identity = fields.get("identity", SMALL)
            write_prompt(
                path.parent,
                asked["key"],
                identity=identity,
                voice=voice.voice,
                recordings=asked["recordings"],
            )
            answer |= {"source": "made", "reason": asked["reason"] or "cleared"}
        self.cache.told(job, asked, answer)
        return asked

    @property
    def tally(self) -> tuple[int, int, str]:
        return tuple(self.cache.index.tally)  # type: ignore[return-value]


@pytest.fixture
def player(folder: Path) -> Player:
    return Player(folder)


class TestServing:
    def test_first_use_then_hit_then_another_size_and_back(self, player: Player) -> None:
        anna = player.add("anna", "a")
        player.speak(anna, "1", identity=LARGE)
        assert player.tally == (0, 1, "first use")
        player.speak(anna, "2", identity=LARGE)
        assert player.tally == (1, 1, "first use")
        player.speak(anna, "3", identity=SMALL)
        assert player.tally == (1, 2, "other model: qwen3-tts:1.7b")
        player.speak(anna, "4", identity=LARGE)
        player.speak(anna, "5", identity=SMALL)
        assert player.tally == (3, 2, "other model: qwen3-tts:1.7b")
        assert len(player.cache.index) == 2

    def test_a_job_counts_once_however_many_segments_it_has(self, player: Player) -> None:
        anna = player.add("anna", "a")
        for _ in range(5):
            player.speak(anna, "book")
        assert player.tally == (0, 1, "first use")
        for _ in range(5):
            player.speak(anna, "another")
        assert player.tally == (1, 1, "first use")

    def test_changed_recording_and_transcript(self, player: Player) -> None:
        first = player.speak(player.add("anna", "a"), "1")
        second = player.speak(player.add("anna", "b"), "2")
        third = player.speak(player.add("anna", "b", transcript="Hello."), "3")
        assert len({first["key"], second["key"], third["key"]}) == 3
        assert player.tally == (0, 3, "changed recording")

    def test_after_a_restart_reasons_and_entries_are_there(self, player: Player, folder: Path) -> None:
        anna = player.add("anna", "a")
        player.speak(anna, identity=LARGE)
        again = Player(folder)
        assert again.speak(anna, identity=LARGE)["reason"] == ""
        again.speak(anna, "2", identity=SMALL)
        assert again.tally == (1, 1, "other model: qwen3-tts:1.7b")

    def test_a_file_that_was_removed_by_hand_is_a_miss(self, player: Player) -> None:
        anna = player.add("anna", "a")
        Path(player.speak(anna, "1")["file"]).unlink()
        player.speak(anna, "2")
        assert player.tally == (0, 2, "cleared")

    def test_what_could_not_be_kept_is_no_entry(self, player: Player) -> None:
        anna = player.add("anna", "a")
        asked = player.cache.ask("anna", anna.digest, ready())
        assert asked is not None
        answer = {"source": "made", "bytes": 4, "took_ms": 1.0, "reason": "first use; not kept: disk full"}
        player.cache.told("job", asked, answer)
        assert len(player.cache.index) == 0
        assert player.tally[1:] == (1, "first use; not kept: disk full")

    def test_a_model_that_cannot_blend_gets_the_first_recording(self, player: Player) -> None:
        both, alone = player.add("both", "a", "b"), player.add("alone", "a")
        blended = player.speak(both, "1")
        first = player.speak(both, "2", can_blend=False)
        assert [len(blended["references"]), len(first["references"])] == [2, 1]
        assert first["references"][0]["sha256"] == "a" * 64
        assert first["key"] == player.speak(alone, "3")["key"] != blended["key"]

    def test_words_and_speakers_need_no_prompt(self, player: Player) -> None:
        captain, anna = player.add("captain"), player.add("anna", "a")
        assert player.cache.ask("captain", captain.digest, ready()) is None
        assert player.cache.ask("anna", anna.digest, ready(identities=["speaker"])) is None

    def test_a_voice_that_is_gone_or_another_is_refused(self, player: Player) -> None:
        anna = player.add("anna", "a")
        player.add("anna", "b")
        with pytest.raises(UnknownVoice, match="replaced"):
            player.cache.ask("anna", anna.digest, ready())
        player.voices.remove("anna")
        with pytest.raises(UnknownVoice, match="removed"):
            player.cache.ask("anna", anna.digest, ready())

    def test_forgetting_a_voice_removes_what_was_made_of_it(self, player: Player) -> None:
        anna, bob = player.add("anna", "a"), player.add("bob", "b")
        kept = [
            player.speak(voice, identity=size)["file"] for voice in (anna, bob) for size in (SMALL, LARGE)
        ]
        player.cache.forget("anna")
        assert [Path(file).exists() for file in kept] == [False, False, True, True]
        assert len(player.cache.index) == 2

    def test_the_longest_unused_goes_first(self, folder: Path) -> None:
        player = Player(folder, max_bytes=1600)
        voices = [player.add(name, name[0]) for name in ("anna", "bob", "dan", "eve")]
        files = [Path(player.speak(voice, voice.voice)["file"]) for voice in voices[:3]]
        assert all(1600 / 4 < file.stat().st_size < 1600 / 3 for file in files)
        player.now_s += 100
        player.speak(voices[0], "again")
        player.speak(voices[3], "fourth")
        assert [file.exists() for file in files] == [True, False, True]
        player.speak(voices[1], "fifth")
        assert player.tally[2] == "evicted"
