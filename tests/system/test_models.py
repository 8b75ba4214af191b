"""Loaded models through the real command: torch and transformers for real, on tiny VITS and Maya1, without overlays."""

import os
import shutil
import signal
from collections.abc import Iterator
from importlib.util import find_spec as find_module
from pathlib import Path

import psutil
import pytest

from tests.daemon.engines.checkpoints import maya1, vits
from tests.daemon.models.published import PIPER, make_piper
from tests.support import DaemonProcess, Home, need, running_daemon, temporary_home, wait_for
from tests.system import engine_box as box
from tests.system.installed import import_model
from tests.system.recordings import voiced
from voiced_ipc import messages as m
from voiced_ipc.errors import ModelDamaged
from voiced_ipc.messages import ModelState

MMS, MAYA, OTHER = "mms:eng", "maya1", "mms:deu"
MMS_HZ, MAYA_HZ = 16_000, 24_000
TEXT = "Hello there, my friend."
DESCRIBED = ("--describe", "A calm old man.")
NEEDED = ("torch", "transformers", "safetensors", "snac")

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models as their publishers have them."""
    lacking = [name for name in NEEDED if find_module(name) is None]
    need("engines", not lacking, f"not installed: {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("published")
    vits.build(folder / "mms")
    vits.build(folder / "other", language="deu", seed=1)
    maya1.build(folder / "maya")
    maya1.build(folder / "endless", ending=0.0)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def both(published: dict[str, Path]) -> Iterator[DaemonProcess]:
    """A daemon with two models loaded: VITS, and a Maya1 that speaks until it is stopped."""
    with temporary_home() as home:
        import_model(home, MMS, published["mms"])
        import_model(home, MAYA, published["endless"])
        with running_daemon(home, VOICED_KEEP_ALIVE_S="-1", VOICED_PRELOAD=f"{MMS}, {MAYA}") as daemon:
            wait_for(
                lambda: all(loaded(daemon, model) for model in (MMS, MAYA)),
                60.0,
                "the loads that the settings wish for",
            )
            yield daemon


def loaded(daemon: DaemonProcess, model: str) -> bool:
    with daemon.client() as client:
        return any(one.model == model and one.state is ModelState.LOADED for one in client.models())


class TestAWholeLife:
    @pytest.mark.parametrize(
        ("model", "source", "rate_hz", "options"),
        [(MMS, "mms", MMS_HZ, ()), (MAYA, "maya", MAYA_HZ, DESCRIBED)],
        ids=["vits", "maya1"],
    )
    def test_from_the_files_to_the_audio_and_away(
        self, daemon: DaemonProcess, published: dict[str, Path], model: str, source: str, rate_hz: int,
        options: tuple[str, ...],
    ) -> None:  # fmt: skip
        home = daemon.home
        assert f"voiced pull {model}" in box.refused(home, model, TEXT)
        import_model(home, model, published[source])
        assert box.listed(home, model)["state"] == "available"
        assert box.listed(home, model)["installed_bytes"] > 1_000_000
        shown = box.on_terminal(home, "load", model)
        assert f"{model}: starting" in shown
        assert f"{model} is loaded" in shown
        told = box.listed(home, model)
        assert (told["state"], told["device"]) == ("loaded", "cpu")
        assert told["precision"] in ("fp32", "bf16")  # the model's own, where this CPU has arithmetic for it
        assert 290 < told["unloads_in_s"] <= 300

        first = box.say(home, model, TEXT, rate_hz, "--seed", "4", *options)
        assert box.say(home, model, TEXT, rate_hz, "--seed", "4", *options) == first
        assert box.say(home, model, TEXT, rate_hz, "--seed", "5", *options) != first
        assert box.say(home, model, "Something else.", rate_hz, "--seed", "4", *options) != first
        job = box.drop(daemon, model, TEXT, rate_hz, "--seed", "4", *options)
        again = box.drop(daemon, model, TEXT, rate_hz, "--seed", "4", *options)
        assert job.samples.tobytes() == again.samples.tobytes()

        box.unload(daemon, model)
        assert "was not loaded" in voiced(home, "unload", model)
        assert "are free again" in voiced(home, "rm", "--yes", model)
        assert box.listed(home, model) == {}
        assert f"voiced pull {model}" in box.refused(home, model, TEXT)
        assert TEXT not in daemon.log()


class TestTwoAtOnce:
    def test_one_speaks_while_the_other_does(self, both: DaemonProcess) -> None:
        assert len(box.model_workers(both)) == 2
        with (
            both.client(60.0) as client,
            client.speak(TEXT, model=MAYA, description="A calm old man.") as long,
        ):
            accepted = long.accepted
            precision = box.listed(both.home, MAYA)["precision"]
            assert (accepted.model, accepted.device, accepted.precision) == (MAYA, "cpu", precision)
            assert next(iter(long))
            box.say(both.home, MMS, TEXT, MMS_HZ)
            assert client.job(accepted.job_id).state is m.JobState.RUNNING
            long.cancel()
        assert len(box.model_workers(both)) == 2

    def test_ctrl_c_inside_a_segment(self, both: DaemonProcess) -> None:
        box.cancel_inside(both, MAYA, TEXT, *DESCRIBED)

    def test_a_job_that_is_cancelled(self, both: DaemonProcess) -> None:
        before = box.model_workers(both)
        with both.client() as client:
            job = client.submit_text(TEXT, model=MAYA, description="A calm old man.")
            assert (job.model, job.device) == (MAYA, "cpu")
            assert job.sample_rate_hz == MAYA_HZ
            wait_for(lambda: client.job(job.job_id).state is m.JobState.RUNNING, 30.0, "its beginning")
            assert client.job(job.job_id).segments_done == 0
            voiced(both.home, "cancel", job.job_id)
            assert client.job(job.job_id).state is m.JobState.CANCELLED
        assert not list(both.home.audio.glob("*.wav"))
        box.say(both.home, MMS, TEXT, MMS_HZ)
        assert box.model_workers(both) == before

    def test_it_tells_what_is_used(self, both: DaemonProcess) -> None:
        with both.client() as client:
            with client.speak(TEXT, model=MMS, pitch=1.5, device="cuda:0") as stream:
                accepted = stream.accepted
                assert b"".join(stream)
            assert (accepted.model, accepted.device, accepted.precision) == (MMS, "cpu", "fp32")
            assert accepted.sample_rate_hz == MMS_HZ
            assert any("cuda" in note for note in accepted.notes)
            assert any("no pitch" in note for note in accepted.notes)
            assert stream.done is not None
            job = stream.done.job
            assert (job.model, job.device, job.precision) == (MMS, "cpu", "fp32")


class TestRefusals:
    """Each says what to do, and leaves the two models that are loaded as they are."""

    @pytest.fixture(autouse=True)
    def nothing_else_changes(self, both: DaemonProcess) -> Iterator[None]:
        before = box.model_workers(both)
        yield
        assert box.model_workers(both) == before
        box.say(both.home, MMS, TEXT, MMS_HZ)

    @pytest.mark.parametrize(
        ("model", "options", "remedy"),
        [
            ("nothing", (), "voiced models --all"),
            ("../../etc", (), "voiced models --all"),
            ("kokoro", (), "voiced pull kokoro"),
            ("maya1:gguf", (), "voiced import maya1:gguf FOLDER"),
            (MMS, ("--language", "de"), "voiced voices"),
            (MMS, ("--voice", "anna"), "voiced voices"),
            (MAYA, ("--voice", "eng"), "voiced voices"),
        ],
    )
    def test_what_there_is_not(
        self, both: DaemonProcess, model: str, options: tuple[str, ...], remedy: str
    ) -> None:
        assert remedy in box.refused(both.home, model, TEXT, *options)

    def test_letters_that_the_model_does_not_know(self, both: DaemonProcess) -> None:
        told = box.refused(both.home, MMS, "Привет, мир.")
        assert "choose a model of the text's language" in told
        assert "Привет" not in both.log()

    def test_a_model_of_one_language_speaks_it_whatever_the_text_looks_like(
        self, both: DaemonProcess
    ) -> None:
        with both.client() as client:
            german = "Der Himmel ist blau und die Sonne scheint."
            accepted = client.synthesize(german, model=MMS)[1]
            assert accepted.language == "en"
            assert client.synthesize(german, model=MMS, language="en")[1].language == "en"

    def test_a_voice_that_was_added_for_others(self, both: DaemonProcess) -> None:
        voiced(both.home, "voice", "add", "captain", "--describe", "An old captain.")
        told = box.refused(both.home, MMS, TEXT, "--voice", "captain")
        assert "models that can" in told
        assert MAYA in told

    def test_an_engine_whose_packages_are_not_here(self, both: DaemonProcess, tmp_path: Path) -> None:
        import_model(both.home, PIPER, make_piper(tmp_path / "piper"))
        for _ in range(2):
            told = box.refused(both.home, PIPER, TEXT, code=1)
            assert "voiced engine install piper" in told
            assert "tried again" not in told
        assert "piper" in voiced(both.home, "load", PIPER, code=1)


def test_damage_and_another_install(both: DaemonProcess, published: dict[str, Path], tmp_path: Path) -> None:
    home = both.home
    text = "Guten Tag, mein Freund."
    changed = shutil.copytree(published["other"], tmp_path / "changed")
    box.change_weight(changed, lambda name: name.startswith("decoder.conv_pre.weight"))
    import_model(home, OTHER, published["other"])
    first = box.say(home, OTHER, text, MMS_HZ, "--seed", "1")
    # Another version takes the place of one that is loaded, and is heard at once.
    import_model(home, OTHER, changed)
    other = box.say(home, OTHER, text, MMS_HZ, "--seed", "1")
    assert other != first

    voiced(home, "unload", OTHER)
    wait_for(lambda: not loaded(both, OTHER), what="the unload")
    weights = home.paths.models / "mms--deu" / "files" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0x40
    weights.write_bytes(content)
    for _ in range(2):
        told = box.refused(home, OTHER, text, code=65)
        assert "not what was installed" in told
        assert f"voiced import {OTHER}" in told
    with both.client() as client, pytest.raises(ModelDamaged):
        client.control(m.LoadModel(request_id=m.new_id(), model=OTHER))
    assert box.listed(home, OTHER)["state"] == "broken"
    box.say(home, MMS, TEXT, MMS_HZ)
    import_model(home, OTHER, published["other"])
    assert box.say(home, OTHER, text, MMS_HZ, "--seed", "1") == first
    voiced(home, "rm", "--yes", OTHER)


class TestKeepAlive:
    def test_for_ever_not_at_all_and_a_second(self, home: Home, published: dict[str, Path]) -> None:
        import_model(home, MMS, published["mms"])
        with running_daemon(home, VOICED_KEEP_ALIVE_S="300") as daemon:
            box.say(home, MMS, TEXT, MMS_HZ, "--keep-alive=-1")
            assert box.listed(home, MMS)["unloads_in_s"] is None
            assert "stays" in voiced(home, "models")
            box.say(home, MMS, TEXT, MMS_HZ)  # as configured again
            assert 290 < box.listed(home, MMS)["unloads_in_s"] <= 300
            box.say(home, MMS, TEXT, MMS_HZ, "--keep-alive", "0")
            wait_for(lambda: not box.model_workers(daemon), 10.0, "the end of the worker")
            box.load(home, MMS, "--keep-alive", "1")
            wait_for(lambda: not box.model_workers(daemon), 10.0, "the end of the worker")
            assert box.listed(home, MMS)["state"] == "available"


def test_the_first_request_waits_for_a_load_however_long(home: Home, published: dict[str, Path]) -> None:
    """The model was never loaded, so the daemon has to load it before it can say anything of the request."""
    import_model(home, MAYA, published["maya"])
    with running_daemon(home) as daemon, daemon.client(10.0) as client:
        request = m.Synthesize(request_id=m.new_id(), model=MAYA, description="A calm old man.")
        connection = client._send(request, TEXT.encode())
        (pid,) = wait_for(lambda: box.model_workers(daemon), what="the worker")
        os.kill(pid, signal.SIGSTOP)  # however fast the machine, it is not loaded before we say so
        try:
            for _ in range(2):
                reply, _ = client.receive(connection, request.request_id, 10.0)
                assert isinstance(reply, m.Progress)
                assert (reply.segments, reply.audio_s) == (0, 0.0)
        finally:
            os.kill(pid, signal.SIGCONT)
        while isinstance(reply, m.Progress):
            reply, _ = client.receive(connection, request.request_id, 10.0)
        assert isinstance(reply, m.Accepted)
        assert reply.model == MAYA
        client.cancel(request.request_id)
        assert psutil.pid_exists(pid)
