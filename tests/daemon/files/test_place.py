import threading
from pathlib import Path

import pytest

from tests.daemon.files.made import write
from voiced.files.names import free_name
from voiced.files.place import first_free, place
from voiced.files.rename import rename


def test_place_numbers_names_and_keeps_folders(tmp_path: Path) -> None:
    folder = tmp_path / "done"
    placed = [
        place(write(tmp_path / "x", str(n)), folder, Path("sub/book.wav")).relative_to(folder)
        for n in range(3)
    ]
    assert [str(path) for path in placed] == ["sub/book.wav", "sub/book (2).wav", "sub/book (3).wav"]
    assert [(folder / path).read_text() for path in placed] == ["0", "1", "2"]


def test_place_goes_round_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    folder = tmp_path / "done"
    folder.mkdir()
    write(folder / "sub")
    assert place(write(tmp_path / "x"), folder, Path("sub/a.txt")) == folder / "sub (2)" / "a.txt"
    assert place(write(tmp_path / "x"), folder, Path("sub/b.txt")) == folder / "sub (2)" / "b.txt"


@pytest.mark.parametrize("relative", ["", "/etc/x", "../x", "a/../../x", "."])
def test_place_stays_below_its_folder(tmp_path: Path, relative: str) -> None:
    source = write(tmp_path / "x")
    with pytest.raises(ValueError, match="not a place"):
        place(source, tmp_path / "done", Path(relative))
    assert source.exists()


def test_place_with_an_unusable_folder_keeps_the_source(tmp_path: Path) -> None:
    source, folder = write(tmp_path / "x"), write(tmp_path / "done")
    with pytest.raises(OSError, match="done"):
        place(source, folder, Path("x"))
    assert source.exists()


def test_place_is_free_of_races(tmp_path: Path) -> None:
    folder, placed, lock = tmp_path / "done", [], threading.Lock()
    start = threading.Barrier(8)

    def move(worker: int) -> None:
        sources = [write(tmp_path / f"{worker}-{n}", f"{worker}-{n}") for n in range(25)]
        start.wait(10)
        for source in sources:
            path = place(source, folder, Path("deep/er/book.txt"))
            with lock:
                placed.append((source.name, path))

    threads = [threading.Thread(target=move, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({path for _, path in placed}) == 200
    assert all(path.read_text() == name for name, path in placed)


def test_place_asks_for_few_of_many_taken_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(1, 1001):
        write(free_name(tmp_path, "note.txt", n))
    tried: list[Path] = []

    def count(source: Path, target: Path) -> None:
        tried.append(target)
        rename(source, target)

    monkeypatch.setattr("voiced.files.place.rename", count)
    source = write(tmp_path / "source")
    assert place(source, tmp_path, Path("note.txt")).name == "note (1001).txt"
    assert len(tried) < 12


def test_first_free_is_where_a_file_is_placed(tmp_path: Path) -> None:
    relative = Path("sub/a.txt")
    for _ in range(3):
        expected = first_free(tmp_path / "to", relative)
        assert not expected.exists()
        assert place(write(tmp_path / "from"), tmp_path / "to", relative) == expected
