"""Texts and documents to plans, through the real process."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.child_scribe.support import RunningScribe, running_scribe
from tests.daemon.text.books import Book, Section, build_epub, make_picture
from voiced.segments import unpack_plan

pytestmark = pytest.mark.process


_TEXT = "Die Straße ist naß. Müller fährt übers Meer, und es regnet."
_SECTION = Section("Am Meer", ("Die Straße ist naß.", "Müller fährt übers Meer, und es regnet."))


@pytest.fixture
def scribe() -> Iterator[RunningScribe]:
    with running_scribe() as running:
        yield running


def test_a_text_comes_back_as_a_plan(scribe: RunningScribe) -> None:
    answer, payload = scribe.ask("prepare", _TEXT.encode(), task=7, default_language="en", first_max_chars=30)
    plan = unpack_plan(payload)
    assert answer == {
        "type": "prepared",
        "task": 7,
        "chars": len(_TEXT),
        "original_chars": len(_TEXT),
        "language": "de",
        "segments": 2,
        "title": "",
        "is_truncated": False,
        "author": "",
        "document_language": "",
        "cover": "",
    }
    assert (plan.language, len(plan.segments), plan.chars) == ("de", 2, len(_TEXT))


def test_a_document_leaves_its_text_and_plan_in_the_folder(scribe: RunningScribe, tmp_path: Path) -> None:
    source = tmp_path / "0123"
    source.write_bytes(_TEXT.replace(". ", ".\r\n\r\n").encode("cp1252"))
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / ".text.new").write_text("left over from a crash")
    answer, payload = scribe.ask(
        "prepare", task=7, source=str(source), name="Ein Tag.txt", folder=str(folder)
    )
    text = (folder / "text").read_bytes().decode()
    plan = unpack_plan((folder / "plan").read_bytes())
    assert payload == b""
    assert text == _TEXT.replace(". ", ".\n\n")
    assert plan.chars == len(text) == answer["chars"]
    assert answer["title"] == "Ein Tag"
    assert sorted(path.name for path in folder.iterdir()) == ["plan", "text"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(("kind", "name"), [("PNG", "cover.png"), ("JPEG", "cover.jpg")])
def test_a_book_leaves_its_cover_too(scribe: RunningScribe, tmp_path: Path, kind: str, name: str) -> None:
    cover = make_picture(kind)
    source = build_epub(tmp_path / "0123", Book("Das Licht", "Ada", "de-AT", (_SECTION,), cover))
    folder = tmp_path / "job"
    folder.mkdir()
    answer, _ = scribe.ask("prepare", task=7, source=str(source), name="a.epub", folder=str(folder))
    assert (answer["title"], answer["author"], answer["document_language"]) == ("Das Licht", "Ada", "de-AT")
    assert (answer["cover"], answer["language"]) == (name, "de-AT")
    assert (folder / name).read_bytes() == cover
    assert sorted(path.name for path in folder.iterdir()) == [name, "plan", "text"]
    assert unpack_plan((folder / "plan").read_bytes()).chapters == ("Am Meer",)
    other, _ = scribe.ask(
        "prepare", task=8, source=str(source), name="a.epub", folder=str(folder), language="en"
    )
    assert (other["language"], other["document_language"]) == ("en", "de-AT")


def test_a_text_may_be_cut_on_request(scribe: RunningScribe) -> None:
    answer, payload = scribe.ask("prepare", _TEXT.encode(), task=7, truncate_chars=21)
    assert (answer["chars"], answer["original_chars"], answer["is_truncated"]) == (19, len(_TEXT), True)
    assert unpack_plan(payload).chars == 19


def test_a_given_language_is_kept(scribe: RunningScribe) -> None:
    answer, _ = scribe.ask("prepare", _TEXT.encode(), task=7, language="nl-BE")
    assert answer["language"] == "nl-BE"


@pytest.mark.parametrize("payload", [b"", b" \n ", b"\xff\xfe"])
def test_a_text_that_cannot_be_said_is_refused(scribe: RunningScribe, payload: bytes) -> None:
    answer, _ = scribe.ask("prepare", payload, task=7)
    assert (answer["type"], answer["task"], answer["code"]) == ("failed", 7, "document-refused")


def test_a_failure_costs_one_task(scribe: RunningScribe, tmp_path: Path) -> None:
    missing, _ = scribe.ask("prepare", task=1, source=str(tmp_path / "none.txt"))
    assert missing["code"] == "document-refused"
    nowhere, _ = scribe.ask("prepare", b"Text.", task=2, folder=str(tmp_path / "none"))
    assert nowhere["code"] == "storage-failed"
    wrong, _ = scribe.ask("prepare", b"Text.", task=3, max_chars="many")
    assert wrong["code"] == "internal-error"
    unknown, _ = scribe.ask("dance", task=4)
    assert unknown["code"] == "internal-error"
    assert "dance" in str(unknown["message"])
    good, _ = scribe.ask("prepare", b"Text.", task=5)
    assert good["type"] == "prepared"


def test_memory_is_bounded(tmp_path: Path) -> None:
    source = tmp_path / "big.txt"
    with source.open("wb") as file:
        for _ in range(40):
            file.write("Grüße aus der Ferne. ".encode() * 45_000)
    with running_scribe(memory_bytes=96 << 20) as scribe:
        answer, _ = scribe.ask("prepare", task=7, source=str(source))
        assert answer["code"] == "document-refused"
        assert "96 MiB" in str(answer["message"])
        # What was cut off anywhere may be broken: the pool starts a fresh one.
        assert scribe.process.wait(10) == 0


def test_computing_time_is_bounded() -> None:
    with running_scribe(cpu_s=0.1) as scribe:
        answer, _ = scribe.ask("prepare", b"a. " * 2_000_000, task=7, max_chars=1)
        assert answer["code"] == "document-refused"
        assert "0.1 s" in str(answer["message"])
        # What was cut off anywhere may be broken: the pool starts a fresh one.
        assert scribe.process.wait(10) == 0


def test_the_lexicon_makes_spoken_forms_as_the_file_is_now(scribe: RunningScribe, tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.toml"
    for content, spoken in (
        ("", None),
        ('[[entry]]\nword = "müller"\nspoken = "Miller"\nlanguage = "de"\n', "Miller fährt übers Meer"),
        ("[[entry]]\nword =\n", None),
    ):
        lexicon.write_text(content)
        _, payload = scribe.ask("prepare", _TEXT.encode(), task=7, language="de", lexicon=str(lexicon))
        first, second = unpack_plan(payload).segments
        assert first.spoken is None
        assert second.spoken is None if spoken is None else str(second.spoken).startswith(spoken)


def test_numbers_become_words_where_the_engine_reads_letters_only(scribe: RunningScribe) -> None:
    pytest.importorskip("num2words", reason="comes with 'voiced[models]'")
    text = "Am 3. Oktober kamen 21. Gut."
    for spells_numbers, spoken in ((True, "Am dritten Oktober kamen einundzwanzig. "), (False, None)):
        _, payload = scribe.ask(
            "prepare", text.encode(), task=7, language="de", spells_numbers=spells_numbers
        )
        assert [segment.spoken for segment in unpack_plan(payload).segments] == [spoken, None]
