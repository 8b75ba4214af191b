from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.told import told_load, told_model, told_status
from tests.tray.daemon_standin import make_job
from voiced_ipc import messages as m
from voiced_tray import words
from voiced_tray.menu import EntryKind, build_menu
from voiced_tray.state import (
    DeviceChoice,
    IconState,
    Input,
    Link,
    LinkLost,
    Notice,
    ReadingChanged,
    RequestDone,
    RequestFailed,
    StatusSeen,
    TrayState,
    icon_state,
    reduce,
)

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
GPU = m.GpuSample(index=0, name="RTX")


def seen(**fields: Any) -> StatusSeen:
    return StatusSeen(told_status(**fields), "0.1.0")


def online(**fields: Any) -> TrayState:
    return reduce(TrayState(), seen(**fields)).state


def test_nothing_known_is_offline() -> None:
    assert icon_state(TrayState()) is IconState.OFFLINE


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, IconState.IDLE),
        ({"models": [told_model()]}, IconState.CPU),
        ({"models": [told_model(device="cuda:0")], "device": "cuda:0"}, IconState.CUDA),
        ({"models": [told_model(device="mps")], "device": "mps"}, IconState.CUDA),
        ({"lock": m.LockInfo(device="cpu")}, IconState.CPU),
        ({"models": [told_model()], "running": 1}, IconState.BUSY),
        ({"running": 1, "is_paused": True}, IconState.PAUSED),
        ({"status": m.Health.DEGRADED, "is_paused": True}, IconState.ERROR),
        ({"models": [told_model(state=m.ModelState.BROKEN)]}, IconState.ERROR),
        ({"models": [told_model(state=m.ModelState.LOADING)]}, IconState.IDLE),
    ],
)
def test_what_the_icon_shows(fields: dict[str, Any], expected: IconState) -> None:
    assert icon_state(online(**fields)) is expected


def test_a_silent_daemon_is_an_error_told_once() -> None:
    step = reduce(online(), LinkLost(Link.SILENT, "no answer"))
    assert icon_state(step.state) is IconState.ERROR
    assert step.notices == (Notice("voiced does not answer", "no answer"),)
    assert reduce(step.state, LinkLost(Link.SILENT, "no answer")).notices == ()


def test_a_daemon_that_is_gone_takes_its_jobs_along_and_is_not_announced() -> None:
    before = replace(online(jobs=[make_job()], running=1), own_pid=7, clipboard_hint="install xclip")
    step = reduce(before, LinkLost(Link.OFFLINE, "gone"))
    assert step.notices == ()
    assert step.state.jobs == ()
    assert (step.state.own_pid, step.state.clipboard_hint) == (7, "install xclip")
    assert step.state.audio_folder == before.audio_folder


@pytest.mark.parametrize(
    ("fields", "has_mps", "expected"),
    [
        ({}, False, ()),
        ({"load": told_load(gpus=[GPU])}, False, (DeviceChoice("cuda", "RTX"),)),
        (
            {"load": told_load(gpus=[GPU, m.GpuSample(index=1, name="GTX")])},
            False,
            (DeviceChoice("cuda", ""), DeviceChoice("cuda:0", "RTX"), DeviceChoice("cuda:1", "GTX")),
        ),
        ({}, True, (DeviceChoice("mps", ""),)),
    ],
)
def test_devices(fields: dict[str, Any], has_mps: bool, expected: tuple[DeviceChoice, ...]) -> None:
    assert reduce(TrayState(has_mps=has_mps), seen(**fields)).state.devices == expected


def test_a_gpu_that_sleeps_is_known_by_the_hardware() -> None:
    hardware = m.HardwareInfo(
        tier="", cpu_model="", physical_cores=1, logical_cores=1, memory_bytes=1, gpu_name="RTX"
    )
    assert online(system_info=hardware).devices == (DeviceChoice("cuda", "RTX"),)


def test_events_carry_a_job_through_its_life() -> None:
    state = online()
    queued = make_job(state=m.JobState.QUEUED)
    state = reduce(state, m.JobAccepted(sequence=1, job=queued)).state
    assert (state.waiting, state.running, state.current_job) == (1, 0, queued)
    running = make_job()
    state = reduce(state, m.JobStarted(sequence=2, job=running)).state
    assert (state.waiting, state.running, state.current_job) == (0, 1, running)
    done = make_job(state=m.JobState.DONE, path="/a/report.wav")
    step = reduce(state, m.JobFinished(sequence=3, job=done))
    assert (step.state.jobs, step.state.running) == ((), 0)
    assert step.notices == (Notice("Audio is ready", "/a/report.wav"),)


def test_the_job_at_work_is_the_current_one_wherever_it_stands() -> None:
    waiting, running = make_job("job-a-0123456789abcdef", state=m.JobState.QUEUED), make_job()
    assert online(jobs=[waiting, running]).current_job == running
    assert online().current_job is None


def test_jobs_beyond_the_daemons_page_keep_waiting() -> None:
    state = online(jobs=[make_job()], running=1, queued=70)
    step = reduce(state, m.JobFinished(sequence=1, job=make_job(state=m.JobState.DONE)))
    assert (step.state.running, step.state.waiting) == (0, 70)
    assert step.notices == ()


def test_a_batch_of_files_is_announced_once() -> None:
    jobs = [make_job(f"job-{number}-0123456789abcdef") for number in range(3)]
    state = online(jobs=jobs, running=1, queued=2)
    notices: list[Notice] = []
    for job in jobs:
        step = reduce(state, m.JobFinished(sequence=1, job=make_job(job.job_id, state=m.JobState.DONE)))
        state = step.state
        notices += step.notices
    assert notices == [Notice("Audio is ready", "3 files are ready")]


def test_a_finished_stream_is_not_announced() -> None:
    job = make_job(state=m.JobState.DONE, output=m.Output.STREAM)
    assert reduce(online(), m.JobFinished(sequence=1, job=job)).notices == ()


def test_a_failed_file_is_told_and_offered_again_until_it_runs() -> None:
    failed = make_job(state=m.JobState.FAILED, error="why")
    step = reduce(online(), m.JobFailed(sequence=1, job=failed))
    assert step.notices == (Notice("Not finished: report.epub", "why"),)
    assert step.state.failed_job == failed
    assert reduce(step.state, m.JobStarted(sequence=2, job=make_job())).state.failed_job is None


def test_a_cancelled_job_is_no_news() -> None:
    step = reduce(
        online(jobs=[make_job()], running=1),
        m.JobWasCancelled(sequence=1, job=make_job(state=m.JobState.CANCELLED)),
    )
    assert (step.state.jobs, step.notices) == ((), ())


def test_a_refused_file_is_told_by_its_name() -> None:
    step = reduce(online(), m.FileRefused(sequence=1, path="/h/Drop/a.pdf", message="save as text"))
    assert step.notices == (Notice("Not spoken: a.pdf", "save as text"),)


def test_models_and_switches_follow_their_events() -> None:
    state = online(models=[told_model(model="kokoro", state=m.ModelState.AVAILABLE, device="")])
    state = reduce(state, m.ModelLoaded(sequence=1, model="kokoro", device="cuda:0", load_s=1)).state
    assert (state.models[0].state, state.models[0].device) == (m.ModelState.LOADED, "cuda:0")
    switched = m.DeviceSwitched(sequence=2, model="kokoro", old="cuda:0", new="cpu", reason="GPU busy")
    state = reduce(state, switched).state
    assert (state.device, state.models[0].device, state.switch) == ("cpu", "cpu", "cuda:0 to cpu: GPU busy")
    state = reduce(state, m.ModelUnloaded(sequence=3, model="kokoro", reason="idle")).state
    assert state.models[0].state is m.ModelState.AVAILABLE


def test_trouble_stays_until_something_works() -> None:
    step = reduce(online(), RequestFailed("no room"))
    assert step.notices == (Notice("voiced could not do that", "no room"),)
    assert reduce(step.state, seen()).state.trouble == "no room"
    assert reduce(step.state, RequestDone()).state.trouble == ""


def test_outdated_only_while_both_versions_are_known() -> None:
    assert online(version="0.0.9").is_outdated
    assert not online(version="0.1.0").is_outdated
    assert not reduce(TrayState(), StatusSeen(told_status(), "")).state.is_outdated


# -- whatever comes ------------------------------------------------------------------------------------------

_JOB_IDS = st.sampled_from([f"job-{number}-0123456789abcdef" for number in range(5)])
_NAMES = st.text(max_size=80)
_JOBS = st.builds(
    lambda job_id, state, output, name, done, segments, eta_s: make_job(
        job_id, state=state, output=output, name=name, segments_done=done, segments=segments, eta_s=eta_s
    ),
    _JOB_IDS,
    st.sampled_from(m.JobState),
    st.sampled_from(m.Output),
    _NAMES,
    st.integers(0, 50),
    st.integers(0, 50),
    st.none() | st.floats(0, 1e6),
)
_MODELS = st.builds(
    lambda model, state, device, detail: told_model(model=model, state=state, device=device, detail=detail),
    st.sampled_from(["espeak", "kokoro"]),
    st.sampled_from(m.ModelState),
    st.sampled_from(["cpu", "cuda:0", "mps", ""]),
    _NAMES,
)
_LOCKS = st.builds(
    m.LockInfo,
    device=st.sampled_from(["auto", "cpu", "cuda", "cuda:1", "mps"]),
    until=st.none() | st.sampled_from(["2026-01-01T15:30:00+00:00", "2027-01-01T15:30:00Z", "later"]),
    pid=st.none() | st.just(7),
)
_LOADS = st.builds(
    lambda cpu, gpus: told_load(
        cpu_fraction=cpu,
        gpus=[
            m.GpuSample(index=number, name="RTX", utilisation_fraction=used)
            for number, used in enumerate(gpus)
        ],
    ),
    st.floats(0, 1),
    st.lists(st.none() | st.floats(0, 1), max_size=3),
)
_STATUSES = st.builds(
    lambda **fields: StatusSeen(told_status(**fields), "0.1.0"),
    status=st.sampled_from(m.Health),
    version=st.sampled_from(["0.1.0", "0.2.0"]),
    is_paused=st.booleans(),
    lock=_LOCKS,
    load=st.none() | _LOADS,
    models=st.lists(_MODELS, max_size=2),
    jobs=st.lists(_JOBS, max_size=4),
    queued=st.integers(0, 100),
    running=st.integers(0, 4),
    problems=st.lists(_NAMES, max_size=5),
)
_EVENTS = st.one_of(
    *(
        st.builds(kind, sequence=st.just(1), job=_JOBS)
        for kind in (m.JobAccepted, m.JobStarted, m.SegmentFinished, m.JobFinished, m.JobFailed)
    ),
    st.builds(m.DeviceLockChanged, sequence=st.just(1), lock=_LOCKS, reason=_NAMES),
    st.builds(m.PauseChanged, sequence=st.just(1), is_paused=st.booleans()),
    st.builds(m.LoadChanged, sequence=st.just(1), load=_LOADS),
    st.builds(m.FileRefused, sequence=st.just(1), path=_NAMES, message=_NAMES),
    st.builds(m.Stopping, sequence=st.just(1), reason=_NAMES),
)
_INPUTS: st.SearchStrategy[Input] = st.one_of(
    _STATUSES,
    _EVENTS,
    st.builds(LinkLost, st.sampled_from([Link.OFFLINE, Link.SILENT]), _NAMES),
    st.builds(RequestFailed, _NAMES),
    st.just(RequestDone()),
    st.builds(ReadingChanged, st.booleans()),
)


@given(st.lists(_INPUTS, max_size=12))
def test_whatever_comes_there_is_a_picture_and_a_menu(inputs: list[Input]) -> None:
    state = TrayState(own_pid=7)
    for found in inputs:
        step = reduce(state, found)
        assert reduce(state, found) == step
        state = step.state
        assert state.waiting >= 0
        assert state.running >= 0
    icon_state(state)
    title = words.title(state, NOW)
    assert title.startswith("voiced: ")
    assert "\n" not in title
    entries = build_menu(state, NOW)
    assert entries[-1].label == "Quit tray"
    assert all(len(entry.label) <= 100 and "\n" not in entry.label for entry in entries)
    radios = [
        child
        for entry in entries
        for child in entry.children
        if child.kind is EntryKind.RADIO and child.is_checked
    ]
    assert len(radios) == (state.link is Link.ONLINE)


@given(st.lists(_INPUTS, max_size=6), _STATUSES)
def test_a_status_is_the_whole_truth_again(inputs: list[Input], status: StatusSeen) -> None:
    state = TrayState()
    for found in inputs:
        state = reduce(state, found).state
    state = reduce(state, status).state
    told = status.status
    assert (state.jobs, state.waiting, state.running) == (tuple(told.jobs), told.queued, told.running)
    assert (state.lock, state.is_paused, state.health) == (told.lock, told.is_paused, told.status)
