"""From published files to an installed model; and what is refused, which leaves nothing behind."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.models.published import (
    PIPER,
    VOICE,
    environment,
    install,
    leftovers,
    make_kokoro,
    make_piper,
    need_torch,
    spec_of,
)
from voiced.errors import LibraryError
from voiced.models import conversion
from voiced.models.importing import choose, import_folder, install_staged, matches, needed_bytes
from voiced.models.library import Library
from voiced.models.spec import HubSource, ModelSpec
from voiced_ipc.errors import InvalidRequest, StorageFailed

PIPER_FILES = [f"{VOICE}.onnx", f"{VOICE}.onnx.json", "MODEL_CARD"]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "models")


def refusal(library: Library, model: str, folder: Path, **more: str) -> str:
    """Import what is refused; returns why, once nothing is left behind."""
    with pytest.raises(LibraryError) as caught:
        list(import_folder(library, spec_of(model), folder, environment=environment(**more)))
    assert library.find(model) is None
    assert leftovers(library) == []
    return caught.value.message


# -- which files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "is_one"),
    [
        ("*.json", "config.json", True),
        ("*.json", "sub/config.json", False),
        ("sub/*", "sub/a", True),
        ("sub/*", "sub/a/b", False),
        ("tokenizer*", "tokenizer.json", True),
        ("tokenizer*", "tokenizer/x", False),
        ("config.json", "CONFIG.json", False),
    ],
)
def test_a_star_stays_within_its_folder(pattern: str, name: str, is_one: bool) -> None:
    assert matches(pattern, name) is is_one


def test_the_files_that_belong_to_a_model_are_chosen(tmp_path: Path) -> None:
    make_piper(tmp_path)
    for name in ("other.onnx", "notes.txt", ".hidden", "evil.py"):
        (tmp_path / name).write_text("x")
    chosen = choose(spec_of(PIPER), tmp_path)
    assert sorted(one.name for one in chosen) == sorted(PIPER_FILES)
    assert needed_bytes(chosen) == sum((tmp_path / name).stat().st_size for name in PIPER_FILES)
    assert needed_bytes(chosen, is_ours=True) == 0


def test_other_names_do_where_the_published_ones_are_missing(tmp_path: Path) -> None:
    make_piper(tmp_path)
    (tmp_path / f"{VOICE}.onnx").rename(tmp_path / "mine.onnx")
    (tmp_path / f"{VOICE}.onnx.json").rename(tmp_path / "mine.onnx.json")
    assert [one.name for one in choose(spec_of(PIPER), tmp_path)] == [
        "MODEL_CARD",
        "mine.onnx",
        "mine.onnx.json",
    ]


def test_code_is_never_taken(tmp_path: Path) -> None:
    spec = ModelSpec(
        "x", "x", "x", 1, has_folder=True, sources=(HubSource("r", ("*",)),), files=("config.json",)
    )
    for name in ("config.json", "model.py", "a.so", "b.pkl", "c.PY", ".git"):
        (tmp_path / name).write_text("{}")
    assert [one.name for one in choose(spec, tmp_path)] == ["config.json"]


@pytest.mark.process
def test_a_cache_of_links_can_be_imported(library: Library, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    make_piper(blobs)
    snapshot.mkdir()
    for name in PIPER_FILES:
        (snapshot / name).symlink_to(blobs / name)
    installed, _ = install(library, PIPER, snapshot)
    assert not any(path.is_symlink() for path in installed.folder.rglob("*"))
    library.check(PIPER)


def test_a_torch_file_gives_way_to_safetensors(tmp_path: Path) -> None:
    (tmp_path / "voices").mkdir()
    for name in (
        "config.json",
        "kokoro-v1_0.pth",
        "kokoro-v1_0.safetensors",
        "voices/a.pt",
        "voices/a.safetensors",
    ):
        (tmp_path / name).write_text("x")
    assert [one.name for one in choose(spec_of("kokoro"), tmp_path)] == [
        "config.json",
        "kokoro-v1_0.pth",
        "voices/a.pt",
    ]
    (tmp_path / "kokoro-v1_0.pth").unlink()
    spec = spec_of("kokoro")._replace(files=("config.json", "kokoro-v1_0.*", "voices/*"))
    assert [one.name for one in choose(spec, tmp_path)] == [
        "config.json",
        "kokoro-v1_0.safetensors",
        "voices/a.safetensors",
    ]


def test_two_files_cannot_become_one(tmp_path: Path) -> None:
    make_kokoro(tmp_path)
    (tmp_path / "voices" / "af.bin").write_text("x")
    spec = spec_of("kokoro")._replace(sources=(), files=("config.json", "kokoro-v1_0.pth", "voices/*"))
    with pytest.raises(InvalidRequest, match=r"would become voices/af\.safetensors"):
        choose(spec, tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is no folder"):
        choose(spec_of(PIPER), tmp_path / "nowhere")
    make_piper(tmp_path)
    (tmp_path / f"{VOICE}.onnx.json").unlink()
    with pytest.raises(
        InvalidRequest, match=r"has no \*\.onnx\.json; piper:.* is made of \*\.onnx, \*\.onnx\.json"
    ):
        choose(spec_of(PIPER), tmp_path)


def test_only_the_folders_that_are_named_are_looked_into(tmp_path: Path) -> None:
    make_piper(tmp_path)
    (tmp_path / "forbidden").mkdir()
    (tmp_path / "forbidden" / f"{VOICE}.onnx").write_text("x")
    (tmp_path / f"{VOICE}.onnx").unlink()
    with pytest.raises(InvalidRequest):
        choose(spec_of(PIPER), tmp_path)


@given(st.lists(st.sampled_from(["a", "*", "?", "[", "]", "/", ".", "é"]), max_size=8).map("".join))
def test_a_pattern_without_stars_is_itself(name: str) -> None:
    if not set(name) & set("*?["):
        assert matches(name, name)


# -- a whole install ----------------------------------------------------------------------------------


@pytest.mark.process
def test_files_are_copied_and_the_folder_stays(library: Library, tmp_path: Path) -> None:
    folder = make_piper(tmp_path / "voice")
    before = {path.name: (path.read_bytes(), path.stat().st_nlink) for path in folder.iterdir()}
    installed, steps = install(library, PIPER, folder)
    assert {path.name: path.read_bytes() for path in installed.folder.iterdir()} == {
        name: content for name, (content, _) in before.items()
    }
    assert {path.name: (path.read_bytes(), path.stat().st_nlink) for path in folder.iterdir()} == before
    assert all(path.stat().st_nlink == 1 for path in installed.folder.iterdir())
    assert (installed.manifest.source, installed.manifest.revision) == ("import", "")
    assert installed.manifest.licence == spec_of(PIPER).licence
    assert all(0 <= step.done_bytes <= step.total_bytes for step in steps)
    words = [step.what.split()[0] for step in steps]
    assert [word for place, word in enumerate(words) if words.index(word) == place] == [
        "copying",
        "copied",
        "checking",
        "hashing",
        "installing",
    ]
    library.check(PIPER, deep=True)
    assert leftovers(library) == []


@pytest.mark.process
def test_torch_files_become_safetensors(library: Library, tmp_path: Path) -> None:
    need_torch()
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    weight = torch.arange(60.0).reshape(6, 10)
    tensors = {
        "a": {"module.w": weight, "tied": weight, "turned": weight.t()},
        "b": {"h": weight.half(), "n": 3},
    }
    installed, _ = install(library, "kokoro", make_kokoro(tmp_path / "k", tensors))
    names = sorted(path.relative_to(installed.folder).as_posix() for path in installed.folder.rglob("*.*"))
    assert names == ["config.json", "kokoro-v1_0.safetensors", "voices/af.safetensors"]
    loaded = load_file(installed.folder / "kokoro-v1_0.safetensors")
    assert set(loaded) == {"a.module.w", "a.tied", "a.turned", "b.h"}
    assert torch.equal(loaded["a.turned"], weight.t())
    assert loaded["b.h"].dtype is torch.float16
    with safe_open(installed.folder / "kokoro-v1_0.safetensors", "pt") as opened:
        assert json.loads(opened.metadata()["values"]) == {"b.n": 3}
    assert torch.equal(load_file(installed.folder / "voices/af.safetensors")["tensor"], torch.ones(5, 1, 4))


@pytest.mark.process
def test_fetched_files_are_installed_without_a_second_copy(library: Library) -> None:
    staging = make_piper(library.folder / ".pulling" / "voice")
    spec = spec_of(PIPER)
    for _ in install_staged(library, spec, staging, source="a/b", revision="abc", environment=environment()):
        pass
    installed = library.check(PIPER)
    assert (installed.manifest.source, installed.manifest.revision) == ("a/b", "abc")
    name = f"{VOICE}.onnx"
    assert (installed.folder / name).stat().st_ino == (staging / name).stat().st_ino
    assert leftovers(library) == [".pulling"]


@pytest.mark.process
def test_a_failed_install_leaves_what_was_fetched(library: Library) -> None:
    staging = make_piper(library.folder / ".pulling" / "voice", onnx=b"")
    steps = install_staged(
        library, spec_of(PIPER), staging, source="a/b", revision="", environment=environment()
    )
    with pytest.raises(LibraryError, match="is empty"):
        list(steps)
    assert sorted(path.name for path in staging.iterdir()) == sorted(PIPER_FILES)


@pytest.mark.process
def test_a_newer_one_replaces_the_older(library: Library, tmp_path: Path) -> None:
    install(library, PIPER, make_piper(tmp_path / "one"))
    installed, _ = install(library, PIPER, make_piper(tmp_path / "two", onnx=b"newer"))
    assert (installed.folder / f"{VOICE}.onnx").read_bytes() == b"newer"
    with pytest.raises(LibraryError):
        install(library, PIPER, make_piper(tmp_path / "three", onnx=b""))
    assert (library.check(PIPER).folder / f"{VOICE}.onnx").read_bytes() == b"newer"


def test_what_comes_with_voiced_is_not_installed(library: Library, tmp_path: Path) -> None:
    for model in ("espeak", "tone"):
        with pytest.raises(InvalidRequest, match="comes with voiced"):
            list(import_folder(library, spec_of(model), tmp_path, environment=environment()))


def test_only_one_install_at_a_time(library: Library, tmp_path: Path) -> None:
    folder = make_piper(tmp_path / "voice")
    with Library(library.folder).lock(), pytest.raises(LibraryError, match=f"process {os.getpid()}"):
        list(import_folder(library, spec_of(PIPER), folder, environment=environment()))


# -- what is refused ----------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (f"{VOICE}.onnx.json", "{", "JSONDecodeError"),
        (f"{VOICE}.onnx.json", "[" * 100_000, "RecursionError"),
        (f"{VOICE}.onnx", "", "is empty"),
    ],
)
def test_files_that_are_not_what_their_names_say(
    library: Library, tmp_path: Path, name: str, content: str, words: str
) -> None:
    folder = make_piper(tmp_path / "voice")
    (folder / name).write_text(content)
    message = refusal(library, PIPER, folder)
    assert name in message
    assert words in message
    assert "Fetch the files again" in message


def test_no_room(library: Library, tmp_path: Path) -> None:
    folder = make_piper(tmp_path / "voice")
    os.truncate(folder / f"{VOICE}.onnx", 10 << 40)  # a hole: it takes no room itself
    assert "GB are needed" in refusal(library, PIPER, folder)


def test_a_pipe_is_no_file(library: Library, tmp_path: Path) -> None:
    folder = make_piper(tmp_path / "voice")
    (folder / f"{VOICE}.onnx").unlink()
    os.mkfifo(folder / f"{VOICE}.onnx")
    with pytest.raises(InvalidRequest, match=r"has no \*\.onnx"):
        install(library, PIPER, folder)


def test_a_file_that_grows_while_it_is_copied(library: Library, tmp_path: Path) -> None:
    folder = make_piper(tmp_path / "voice", onnx=b"x" * (40 << 20))
    steps = import_folder(library, spec_of(PIPER), folder, environment=environment())
    next(step for step in steps if step.what.startswith(f"copying {VOICE}.onnx"))
    with (folder / f"{VOICE}.onnx").open("ab") as growing:
        growing.write(b"y")
    with pytest.raises(LibraryError, match="being changed"):
        list(steps)
    assert leftovers(library) == []


class Command:
    """A pickle that runs a command when it is loaded carelessly."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self._marker}",)


@pytest.mark.process
def test_a_pickle_with_a_command_runs_nothing(library: Library, tmp_path: Path) -> None:
    need_torch()
    import torch

    marker = tmp_path / "it-ran"
    folder = make_kokoro(tmp_path / "k")
    torch.save({"w": torch.ones(3), "x": Command(marker)}, folder / "kokoro-v1_0.pth")
    message = refusal(library, "kokoro", folder)
    assert "kokoro-v1_0.pth: it asks for more than weights" in message
    assert "system" in message
    (folder / "kokoro-v1_0.pth").write_bytes(pickle.dumps(Command(marker), protocol=2))
    assert "can run commands" in refusal(library, "kokoro", folder)
    assert not marker.exists()


@pytest.mark.process
def test_weights_that_are_no_numbers(library: Library, tmp_path: Path) -> None:
    need_torch()
    import torch

    folder = make_kokoro(
        tmp_path / "k", {"a": {"good": torch.ones(3), "bad.w": torch.tensor([1.0, float("nan")])}}
    )
    assert "'a.bad.w' hold values that are no numbers" in refusal(library, "kokoro", folder)


@pytest.mark.process
def test_a_truncated_checkpoint(library: Library, tmp_path: Path) -> None:
    folder = make_kokoro(tmp_path / "k")
    whole = (folder / "kokoro-v1_0.pth").read_bytes()
    (folder / "kokoro-v1_0.pth").write_bytes(whole[: len(whole) // 2])
    assert "kokoro-v1_0.pth" in refusal(library, "kokoro", folder)


@pytest.mark.process
def test_without_torch_the_remedy_is_named(library: Library, tmp_path: Path) -> None:
    folder = make_kokoro(tmp_path / "k")
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    for name in ("torch", "safetensors"):
        (lacking / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module {name}', name='{name}')")
    message = refusal(library, "kokoro", folder, PYTHONPATH=str(lacking))
    assert "pip install 'voiced[models]'" in message


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended with -11"),
        ("print('nonsense')", "talks nonsense"),
        ("print('[' * 9999)", "talks nonsense"),
        ("print('x' * 99999, end='')", "talks nonsense"),
        ('print(\'{"done": "many"}\')', "talks nonsense"),
        ('print(\'{"refused": "a\\\\u001b[31mb"}\')', r"a\x1b[31mb"),
        ("import time; time.sleep(60)", "took too long"),
        ("import os, time; os.close(1); time.sleep(60)", "took too long"),
        ("pass", "could not be converted"),
    ],
)
def test_a_child_that_a_file_has_killed_or_taken_over(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    """A file that beats the child gets no further: what the child says is not believed."""
    monkeypatch.setattr(conversion, "_TIME_LIMIT_S", 0.2 if words == "took too long" else 30.0)
    package = tmp_path / "path" / "voiced" / "child"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "convert.py").write_text(code)
    (tmp_path / "k" / "voices").mkdir(parents=True)
    for name in ("config.json", "kokoro-v1_0.pth", "voices/af.pt"):
        (tmp_path / "k" / name).write_text("{}")
    assert words in refusal(library, "kokoro", tmp_path / "k", PYTHONPATH=str(tmp_path / "path"))


# -- ended early --------------------------------------------------------------------------------------


@pytest.mark.process
def test_an_install_that_is_let_go_leaves_nothing(library: Library, tmp_path: Path) -> None:
    folder = make_piper(tmp_path / "voice")
    total = len(list(import_folder(library, spec_of(PIPER), folder, environment=environment())))
    library.remove(PIPER)
    for end in range(total):
        steps = import_folder(library, spec_of(PIPER), folder, environment=environment())
        for _ in range(end):
            next(steps)
        steps.close()
        assert library.find(PIPER) is None
        assert leftovers(library) == []
    with library.lock():
        pass


_KILLED = """
import os, sys
from pathlib import Path
from tests.daemon.models.published import PIPER, environment, spec_of
from voiced.models.importing import import_folder
from voiced.models.library import Library
steps = import_folder(Library(Path(sys.argv[1])), spec_of(PIPER), Path(sys.argv[2]), environment=environment())
for number, step in enumerate(steps):
    if number == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
"""


@pytest.mark.process
@pytest.mark.parametrize("step", [0, 4, 6, 9])
def test_an_install_that_is_killed_leaves_what_the_next_one_sweeps(
    library: Library, tmp_path: Path, step: int
) -> None:
    folder = make_piper(tmp_path / "voice")
    command = [sys.executable, "-c", _KILLED, str(library.folder), str(folder), str(step)]
    assert subprocess.run(command, check=False).returncode == -9
    assert library.installed() == []
    assert leftovers(library) != []
    install(library, PIPER, folder)
    assert leftovers(library) == []


_LIMITED = """
import resource, sys
from pathlib import Path
from tests.daemon.models.published import PIPER, environment, spec_of
from voiced.models.importing import import_folder
from voiced.models.library import Library
from voiced_ipc.errors import VoicedError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    list(import_folder(Library(Path(sys.argv[1])), spec_of(PIPER), Path(sys.argv[2]), environment=environment()))
except VoicedError as error:
    print(type(error).__name__, error.message)
"""


@pytest.mark.process
def test_a_disk_that_takes_no_more(library: Library, tmp_path: Path) -> None:
    folder = make_piper(tmp_path / "voice", onnx=b"x" * (2 << 20))
    command = [sys.executable, "-c", _LIMITED, str(library.folder), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(StorageFailed.__name__)
    assert "nothing was installed" in done.stdout
    assert leftovers(library) == []
