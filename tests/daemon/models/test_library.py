"""The library: models appear whole, are found cheaply, and go whole."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.models.published import PIPER, leftovers, spec_of
from voiced.errors import LibraryError
from voiced.models.catalogue import CATALOGUE
from voiced.models.library import Library, folder_name
from voiced.models.manifest import FILES, MANIFEST, Manifest, hash_files, read_manifest, write_manifest
from voiced_ipc.errors import ModelDamaged, ModelMissing, UnknownModel, VoicedError


def fill(files: Path, mark: str = "one") -> None:
    (files / "voices").mkdir()
    (files / "config.json").write_text(mark)
    (files / "voices" / "a.safetensors").write_text(mark * 10)


def manifest_of(files: Path, model: str = "kokoro") -> Manifest:
    hashing = hash_files(files)
    while True:
        try:
            next(hashing)
        except StopIteration as end:
            return Manifest(
                model=model, source="import", revision="r", licence="X", installed="then", files=end.value
            )


def publish(library: Library, mark: str = "one", model: str = "kokoro") -> None:
    """Install a model as an import does."""
    with library.lock(), library.staging() as staging:
        fill(staging / FILES, mark)
        library.publish(staging, manifest_of(staging / FILES, model))


def content(library: Library) -> str:
    return (library.check("kokoro").folder / "config.json").read_text()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "models")


def test_an_empty_library(library: Library) -> None:
    assert library.installed() == []
    assert library.damaged() == {}
    assert library.find("kokoro") is None
    assert library.sweep() == 0
    assert not library.folder.exists()
    with pytest.raises(ModelMissing, match=r"`voiced pull kokoro` fetches it, `voiced import kokoro FOLDER`"):
        library.check("kokoro")
    with pytest.raises(ModelMissing) as caught:
        library.check("maya1:gguf")
    assert "--repository OWNER/NAME --file NAME" in caught.value.message
    with pytest.raises(UnknownModel):
        library.check("nonsense")
    with pytest.raises(ModelMissing):
        library.remove("kokoro")


def test_a_model_is_published_and_found(library: Library) -> None:
    publish(library)
    (installed,) = library.installed()
    assert (
        installed == library.find("kokoro") == library.check("kokoro") == library.check("kokoro", deep=True)
    )
    assert installed.spec is spec_of("kokoro")
    assert installed.folder == library.folder / "kokoro" / "files"
    assert installed.size_bytes == 33
    assert installed.manifest == read_manifest(library.folder / "kokoro")
    assert leftovers(library) == []


def test_everything_is_the_users_alone(library: Library) -> None:
    before = os.umask(0)
    try:
        publish(library)
    finally:
        os.umask(before)
    for path in [library.folder, *library.folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_ids_with_a_colon_and_their_other_names(library: Library) -> None:
    publish(library, model="qwen3-tts:1.7b")
    assert (library.folder / "qwen3-tts--1.7b" / MANIFEST).exists()
    found = library.find("qwen3-tts")  # the size that nobody names
    assert found is not None
    assert found.spec.model == "qwen3-tts:1.7b"
    assert library.find("qwen3-tts:0.6b") is None
    assert library.remove("qwen3-tts") == library_bytes(found.size_bytes, found.manifest)


def library_bytes(size_bytes: int, manifest: Manifest) -> int:
    return size_bytes + len(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def test_embedded_models_are_not_of_the_library(library: Library) -> None:
    publish(library)
    assert library.find("espeak") is None
    assert library.find("tone") is None


def test_a_newer_one_takes_the_place_of_the_old(library: Library) -> None:
    publish(library, "one")
    assert content(library) == "one"
    with (library.folder / "kokoro" / "files" / "config.json").open() as opened:
        publish(library, "two")
        assert opened.read() == "one"  # a worker that has the old one open is not disturbed
    assert content(library) == "two"
    assert leftovers(library) == []


def test_another_library_sees_what_was_installed_by_the_first(library: Library) -> None:
    other = Library(library.folder)
    assert other.installed() == []
    publish(library, "one")
    first = other.find("kokoro")
    publish(library, "two")
    second = other.find("kokoro")
    assert first is not None
    assert second is not None
    assert first.manifest.files != second.manifest.files
    library.remove("kokoro")
    assert other.find("kokoro") is None
    assert other.installed() == []


def test_a_damaged_manifest_hides_no_other_model(library: Library) -> None:
    publish(library)
    publish(library, model=PIPER)
    (library.folder / "kokoro" / MANIFEST).write_text("{")
    assert [one.spec.model for one in library.installed()] == [PIPER]
    assert list(library.damaged()) == ["kokoro"]
    assert library.find("kokoro") is None
    with pytest.raises(ModelDamaged):
        library.check("kokoro")
    assert library.remove("kokoro") > 0
    assert library.damaged() == {}


def test_a_folder_without_a_manifest_is_damage(library: Library) -> None:
    publish(library)
    (library.folder / "kokoro" / MANIFEST).unlink()
    assert "kokoro" in library.damaged()
    with pytest.raises(ModelDamaged):
        library.check("kokoro")


def test_a_folder_with_another_models_manifest_is_damage(library: Library) -> None:
    publish(library, model="chatterbox")
    (library.folder / "chatterbox").rename(library.folder / "kokoro")
    assert library.installed() == []
    assert "holds chatterbox" in library.damaged()["kokoro"]
    assert library.find("kokoro") is None
    with pytest.raises(ModelDamaged, match="holds chatterbox"):
        library.check("kokoro")


def test_a_model_that_this_version_does_not_know(library: Library) -> None:
    publish(library)
    place = library.folder / "kokoro"
    manifest = read_manifest(place)
    write_manifest(place, msgspec.structs.replace(manifest, model="future:1"))
    place.rename(library.folder / "future--1")
    assert library.installed() == []
    assert "voiced rm future:1" in library.damaged()["future:1"]
    assert library.remove("future:1") > 0


def test_a_link_is_no_model(library: Library, tmp_path: Path) -> None:
    publish(library)
    (library.folder / "kokoro").rename(tmp_path / "elsewhere")
    (library.folder / "kokoro").symlink_to(tmp_path / "elsewhere")
    assert library.installed() == []
    with pytest.raises(ModelDamaged, match="no folder of the library"):
        library.check("kokoro")


def test_changed_files_are_refused(library: Library) -> None:
    publish(library)
    (library.folder / "kokoro" / "files" / "config.json").write_text("owt")
    with pytest.raises(ModelDamaged, match=r"config\.json is not what was installed"):
        library.check("kokoro")
    assert library.find("kokoro") is not None  # finding is cheap and looks at no file


def test_a_model_is_removed_whole(library: Library) -> None:
    publish(library)
    publish(library, model=PIPER)
    taken = library.size_of("kokoro")
    assert taken is not None
    assert taken > 33
    assert library.remove("kokoro") == taken
    assert [one.spec.model for one in library.installed()] == [PIPER]
    assert library.size_of("kokoro") is None
    assert leftovers(library) == []


# -- crashes ------------------------------------------------------------------------------------------

# A process of its own for each end: `publish` of the step's library, killed before the call of that number.
_CRASH = """
import os, sys
from pathlib import Path
from tests.daemon.models.test_library import publish
from voiced.models import library as module

steps = int(sys.argv[2])
for left in range(steps):
    child = os.fork()
    if not child:
        break
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    sys.exit()
folder = Path(sys.argv[1], str(left))

def dying(function):
    def call(*arguments, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return function(*arguments, **more)
    return call
Path.rename = dying(Path.rename)
for name in ("fsync_folder", "write_manifest", "_delete", "hash_files"):
    if hasattr(module, name):
        setattr(module, name, dying(getattr(module, name)))
publish(module.Library(folder), "two")
"""
_STEPS = 12


@pytest.mark.process
@pytest.mark.parametrize("has_old", [False, True])
def test_a_crash_at_any_point_leaves_the_old_or_the_new(tmp_path: Path, has_old: bool) -> None:
    ends = set()
    if has_old:
        for step in range(_STEPS):
            publish(Library(tmp_path / str(step)), "one")
    command = [sys.executable, "-c", _CRASH, str(tmp_path), str(_STEPS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for step, code in enumerate(map(int, done.stdout.split())):
        assert code in (0, -9), done.stderr
        fresh = Library(tmp_path / str(step))
        before = None if fresh.find("kokoro") is None else content(fresh)
        assert before in (("one", "two") if has_old else (None, "two")), step
        fresh.sweep()
        after = None if fresh.find("kokoro") is None else content(fresh)
        assert after == before, step
        assert leftovers(fresh) == [], step
        ends.add(after)
        if code == 0:
            assert after == "two"
            break
    else:
        pytest.fail("it never came to its end")
    assert ends == ({"one", "two"} if has_old else {None, "two"})


def test_a_failed_publish_leaves_the_old_one(library: Library) -> None:
    publish(library, "one")
    with library.lock(), library.staging() as staging:
        fill(staging / FILES, "two")
        manifest = manifest_of(staging / FILES)
        (staging / MANIFEST).mkdir()  # no manifest can be written there
        with pytest.raises(IsADirectoryError):
            library.publish(staging, manifest)
    assert content(library) == "one"
    assert leftovers(library) == []


def test_what_crashes_left_is_swept_and_what_is_not_ours_stays(library: Library) -> None:
    publish(library)
    for name in (".staging-a", ".gone-b", ".old-kokoro"):
        (library.folder / name / FILES).mkdir(parents=True)
    (library.folder / ".pulling" / "chatterbox").mkdir(parents=True)
    assert library.sweep() == 3
    assert leftovers(library) == [".pulling"]
    assert content(library) == "one"
    assert library.sweep() == 0


# -- the lock -----------------------------------------------------------------------------------------

_HOLDER = """
import sys
from pathlib import Path
from voiced.models.library import Library
with Library(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.process
def test_two_processes_do_not_install_at_once(library: Library) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(library.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LibraryError, match=f"process {holder.pid}"), library.lock():
            pass
        with pytest.raises(LibraryError):
            library.sweep()
        holder.kill()  # however it ends, the lock goes with it
    with library.lock(), library.lock():  # nested by its holder
        library.sweep()
    publish(library)


def test_readers_ask_for_no_lock(library: Library) -> None:
    publish(library)
    with Library(library.folder).lock():
        assert library.check("kokoro")
        assert library.remove("kokoro") > 0


def test_readers_see_one_or_the_other_while_it_is_replaced(library: Library) -> None:
    publish(library, "one")
    ended = threading.Event()
    faults: list[object] = []

    def look() -> None:
        reader = Library(library.folder)
        while not ended.is_set():
            if reader.find("kokoro") is None:
                faults.append("gone")
            try:
                reader.check("kokoro")
            except VoicedError as error:
                faults.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for n in range(30):
        publish(library, str(n))
    ended.set()
    thread.join()
    assert faults == []


# -- names --------------------------------------------------------------------------------------------


def test_every_model_has_a_folder_of_its_own() -> None:
    names = [folder_name(model) for model in [*CATALOGUE, PIPER, "mms:deu", "mms:uzb-script_cyrillic"]]
    assert len(set(names)) == len(names)


@given(
    st.text(max_size=30) | st.sampled_from(["..", "../x", "/x", "a/b", ".staging-x", "", "a:", "a:b:c", "A"])
)
def test_no_name_leads_out_of_the_library(name: str) -> None:
    try:
        folder = folder_name(name)
    except UnknownModel:
        return
    assert "/" not in folder
    assert not folder.startswith(".")
    assert folder.replace("--", ":", 1) in (name, name.replace("--", ":", 1))


@pytest.mark.process
def test_the_library_and_imports_know_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, voiced.models.importing, voiced.models.library\n"
        "print([name for name in ('torch', 'numpy', 'safetensors', 'rich', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    assert done.stdout == b"[]\n"


def test_the_folder_of_an_embedded_model_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "tone").mkdir()
    (tmp_path / "kokoro").mkdir()
    assert list(Library(tmp_path).damaged()) == ["kokoro"]
