"""Archives: what is found in them, and what is refused before it does harm."""

import io
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from voiced.text.archive import MOST_ENTRIES, Archive
from voiced_ipc.errors import DocumentRefused

_LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"


def pack(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of names that are there already
        for name, content in entries:
            file.writestr(name, content, method)
    return made.getvalue()


def patch(data: bytes, record: bytes, offset: int, layout: str, value: int) -> bytes:
    """Write a number into the first record of a kind."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.index(record) + offset, value)
    return bytes(changed)


def read(data: bytes, name: str = "a", most_bytes: int = 1 << 20) -> bytes:
    archive = Archive(data, most_bytes)
    found = archive.find(name)
    assert found is not None
    return archive.read(found)


def refusal(data: bytes, name: str = "a", most_bytes: int = 1 << 20) -> str:
    with pytest.raises(DocumentRefused) as caught:
        read(data, name, most_bytes)
    return caught.value.message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_entry_is_read(method: int) -> None:
    assert read(pack(("a", b"content"), method=method)) == b"content"


@pytest.mark.parametrize("name", ["b/C.txt", "b/c.TXT", "b/x/../C.txt", "./b/C.txt", "/b/C.txt", "b\\C.txt"])
def test_names_are_forgiven(name: str) -> None:
    assert read(pack(("b/C.txt", b"x")), name) == b"x"


def test_the_right_capitals_win() -> None:
    data = pack(("a", b"small"), ("A", b"large"))
    assert (read(data, "a"), read(data, "A")) == (b"small", b"large")


def test_of_two_entries_of_a_name_the_last_is_meant() -> None:
    assert read(pack(("a", b"first"), ("a", b"second"))) == b"second"


@pytest.mark.parametrize("name", ["../a", "x/../../a", "/a", "C:/a", "C:\\a", "..\\a", "a/"])
def test_what_points_outside_is_not_there(name: str) -> None:
    archive = Archive(pack((name, b"x"), ("b", b"y")), 1 << 20)
    assert list(archive.names()) == ["b"]


def test_a_link_is_not_there() -> None:
    link = zipfile.ZipInfo("a")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert Archive(pack((link, b"/etc/passwd")), 1 << 20).find("a") is None


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(pack(("a", b"x"), ("../b", b"y"))) == b"x"
    assert list(tmp_path.iterdir()) == []


class TestBombs:
    def test_ratio(self) -> None:
        assert "zip bomb" in refusal(pack(("a", b"\0" * (5 << 20))), most_bytes=1 << 30)

    def test_one_entry(self) -> None:
        assert "zip bomb" in refusal(pack(("a", b"x" * 1001)), most_bytes=1000)

    def test_all_together(self) -> None:
        archive = Archive(pack(("a", b"x" * 600), ("b", b"x" * 600)), 1000)
        assert len(archive.read("a")) == 600
        with pytest.raises(DocumentRefused, match="zip bomb"):
            archive.read("b")

    def test_an_entry_that_says_it_is_small(self) -> None:
        data = pack(("a", b"x" * 1_000_000))
        for record, offset in ((_LOCAL, 22), (_CENTRAL, 24)):
            data = patch(data, record, offset, "<I", 10)
        assert "damaged" in refusal(data)

    def test_an_entry_that_says_it_is_large(self) -> None:
        assert "damaged" in refusal(patch(pack(("a", b"x" * 10)), _CENTRAL, 24, "<I", 1000))
        assert "zip bomb" in refusal(patch(pack(("a", b"x" * 10)), _CENTRAL, 24, "<I", 0xFFFFFFF0))

    def test_entries_that_share_bytes(self) -> None:
        data = pack(("a", b"x" * 100), ("b", b"y" * 100))
        second = data.rindex(_CENTRAL)
        changed = bytearray(data)
        struct.pack_into("<I", changed, second + 42, 0)  # both begin at the beginning
        assert "overlap" in refusal(bytes(changed))

    def test_a_hundred_thousand_entries(self) -> None:
        data = pack(*((f"{number}", b"") for number in range(MOST_ENTRIES + 1)), method=zipfile.ZIP_STORED)
        assert "20,000 entries" in refusal(data)
        assert "20,000 entries" in refusal(_CENTRAL * 100_000)

    def test_an_archive_within_is_not_opened(self) -> None:
        inner = pack(("a", b"\0" * 1_000_000))
        assert read(pack(("a", inner))) == inner


class TestDamage:
    @pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
    def test_a_file_that_was_cut(self, share: float) -> None:
        data = pack(("a", b"content" * 100))
        assert "damaged" in refusal(data[: int(len(data) * share)])

    def test_content_that_was_changed(self) -> None:
        data = pack(("a", b"content"), method=zipfile.ZIP_STORED)
        assert "damaged" in refusal(data.replace(b"content", b"discord"))

    def test_a_password(self) -> None:
        assert "password" in refusal(patch(pack(("a", b"x")), _CENTRAL, 8, "<H", 1))

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_ways_of_packing_that_no_document_uses(self, method: int) -> None:
        assert "packed in a way" in refusal(pack(("a", b"x" * 100), method=method))
