"""A model that cannot be loaded as it is: said as it is, and tried again the moment it was mended."""

import os
from pathlib import Path

import pytest

from tests.daemon.models.published import PIPER, install, make_piper
from tests.daemon.workers.pool_stage import Stage, on_stage
from tests.daemon.workers.tiny import ECHO
from voiced.models.overlay import Overlays
from voiced.models.spec import ModelSpec
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged, ModelMissing, VoicedError

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def no_packages_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Overlays, "path", lambda *_: None)


def piper(stage: Stage, folder: Path) -> Path:
    """Install the model; returns its folder in the library."""
    source = make_piper(folder / "published", onnx=os.urandom(500))
    return install(stage.pool.shelf.library, PIPER, source)[0].folder


async def refusal(stage: Stage) -> VoicedError:
    with pytest.raises(VoicedError) as caught:
        await stage.pool.loaded(PIPER)
    return caught.value


def damage(files: Path) -> None:
    (onnx,) = files.glob("*.onnx")
    content = bytearray(onnx.read_bytes())
    content[-1] ^= 1
    onnx.write_bytes(content)


def test_damage_is_named_as_damage_and_a_new_install_is_taken_at_once(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        damage(piper(stage, tmp_path))
        first, second = await refusal(stage), await refusal(stage)
        assert type(first) is type(second) is ModelDamaged
        assert first.message == second.message
        assert "voiced import" in first.message
        assert "tried again" not in first.message
        for _ in range(6):  # it has been broken for so long that it rests for a while
            stage.pool.engines[PIPER].broken_until = 0.0
            await refusal(stage)
        assert stage.pool.engines[PIPER].broken_s > 10
        piper(stage, tmp_path)
        engine = await stage.pool.loaded(PIPER)
        assert (engine.failures, engine.broken_reason) == (0, "")

    on_stage(tmp_path, ECHO, play)


def test_missing_packages_are_looked_for_again_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise EngineLoadFailed("no packages: `voiced engine install piper`")

    async def play(stage: Stage) -> None:
        piper(stage, tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(Overlays, "path", missing)
            for _ in range(8):
                error = await refusal(stage)
                assert (type(error), error.message) == (
                    EngineLoadFailed,
                    "no packages: `voiced engine install piper`",
                )
                assert 0 < stage.pool.engines[PIPER].broken_s <= 1
                stage.pool.engines[PIPER].broken_until = 0.0
        await stage.pool.loaded(PIPER)

    on_stage(tmp_path, ECHO, play)


def test_a_model_that_was_removed_is_missing_not_broken(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        damage(piper(stage, tmp_path))
        assert isinstance(await refusal(stage), ModelDamaged)
        stage.pool.shelf.library.remove(PIPER)
        assert isinstance(await refusal(stage), ModelMissing)

    on_stage(tmp_path, ECHO, play)


def test_a_new_install_is_another_model_to_ask(tmp_path: Path) -> None:
    """What the old one told of its voices is not taken for the new one's."""

    async def play(stage: Stage) -> None:
        piper(stage, tmp_path)
        old = await stage.pool.loaded(PIPER)
        assert old.spec == stage.pool.engine(PIPER).spec
        stage.pool.unload(PIPER, "a test")
        await stage.until(lambda: not old.workers)
        assert stage.pool.engine(PIPER) is old
        piper(stage, tmp_path)
        new = stage.pool.engine(PIPER)
        assert new is not old
        assert isinstance(new.spec, ModelSpec)
        assert not new.has_loaded

    on_stage(tmp_path, ECHO, play)
