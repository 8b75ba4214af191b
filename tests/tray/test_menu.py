from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from tests.told import told_load, told_model, told_status
from tests.tray.daemon_standin import make_job
from voiced_ipc import messages as m
from voiced_tray import words
from voiced_tray.actions import Action, ActionKind, request_for
from voiced_tray.menu import SEPARATOR, Entry, EntryKind, build_menu
from voiced_tray.state import Link, StatusSeen, TrayState, reduce

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))


def online(**fields: Any) -> TrayState:
    return reduce(TrayState(own_pid=7), StatusSeen(told_status(**fields), "0.1.0")).state


def labels(entries: tuple[Entry, ...]) -> list[str]:
    return [entry.label for entry in entries]


def entry(entries: tuple[Entry, ...], label: str) -> Entry:
    return next(entry for entry in entries if entry.label.startswith(label))


def test_offline() -> None:
    menu = build_menu(TrayState(link=Link.OFFLINE), NOW)
    assert labels(menu) == [
        "The daemon is not running",
        "",
        "Read clipboard aloud",
        "",
        "Open Audio folder",
        "Open Drop folder",
        "Open Failed folder",
        "",
        "Start daemon",
        "Quit tray",
    ]
    assert not entry(menu, "Open Audio").is_enabled
    assert entry(menu, "Start").action == Action(ActionKind.START)


def test_a_silent_daemon_can_be_restarted_and_says_why() -> None:
    menu = build_menu(TrayState(link=Link.SILENT, detail="speaks voiced/2"), NOW)
    assert labels(menu)[:2] == ["The daemon does not answer", "speaks voiced/2"]
    assert entry(menu, "Restart daemon").action == Action(ActionKind.RESTART)


def test_lines_to_be_read_do_nothing() -> None:
    state = online(problems=["a: mend it"], jobs=[make_job()], running=1)
    for line in build_menu(replace(state, trouble="no room"), NOW)[:4]:
        assert line.action is None
        assert not line.is_enabled


def test_only_some_jobs_and_problems_are_shown() -> None:
    jobs = [make_job(f"job-{number}-0123456789abcdef", name=f"{number}.txt") for number in range(5)]
    state = online(jobs=jobs, running=1, queued=10, problems=[f"problem {number}" for number in range(5)])
    shown = labels(build_menu(state, NOW))
    assert "! problem 2" in shown
    assert "! problem 3" not in shown
    assert "! and 2 more: voiced doctor" in shown
    assert "2.txt: 40 %, about 3 min left" in shown
    assert "and 8 more" in shown


def test_a_broken_model_is_named() -> None:
    broken = told_model(model="kokoro", state=m.ModelState.BROKEN, detail="tried again in 5 min")
    assert "! kokoro is broken: tried again in 5 min" in labels(build_menu(online(models=[broken]), NOW))


def test_the_device_menu() -> None:
    gpu = m.GpuSample(index=0, name="RTX 4070")
    state = online(load=told_load(gpus=[gpu]), lock=m.LockInfo(device="cpu", until="2026-01-01T15:30:00Z"))
    device = entry(build_menu(state, NOW), "Device: CPU")
    assert device.kind is EntryKind.SUBMENU
    assert labels(device.children) == [
        "Automatic",
        "CPU",
        "GPU (RTX 4070)",
        "",
        "CPU for 1 hour",
        "CPU for 2 hours",
        "CPU until I log out or quit the tray",
        "",
        "Locked to CPU until 17:30",
    ]
    assert [child.is_checked for child in device.children[:3]] == [False, True, False]
    assert device.children[2].action == Action(ActionKind.LOCK, "cuda")
    assert device.children[4].action == Action(ActionKind.LOCK, "cpu", 3600.0)


def test_a_lock_to_a_device_that_is_not_here_is_shown() -> None:
    device = entry(build_menu(online(lock=m.LockInfo(device="cuda:3")), NOW), "Device: GPU 3")
    assert [(child.label, child.is_checked) for child in device.children[:3]] == [
        ("Automatic", False),
        ("CPU", False),
        ("GPU 3", True),
    ]


def test_loaded_models_can_be_unloaded() -> None:
    models = [
        told_model(model="kokoro", device="cuda:0", rss_bytes=300 << 20),
        told_model(model="maya1", state=m.ModelState.AVAILABLE),
    ]
    menu = entry(build_menu(online(models=models), NOW), "Loaded models")
    assert labels(menu.children) == ["Unload kokoro on GPU 0, 300 MB"]
    assert menu.children[0].action == Action(ActionKind.UNLOAD, "kokoro")


def test_the_clipboard_entry() -> None:
    state = online()
    assert entry(build_menu(state, NOW), "Read clipboard").action == Action(ActionKind.READ_CLIPBOARD)
    missing = entry(build_menu(replace(state, clipboard_hint="install xclip"), NOW), "Read clipboard")
    assert (missing.label, missing.is_enabled) == ("Read clipboard aloud (install xclip)", False)
    reading = build_menu(replace(state, is_reading=True), NOW)
    assert entry(reading, "Stop reading").action == Action(ActionKind.STOP_READING)


def test_folders_are_those_the_daemon_tells() -> None:
    menu = build_menu(online(), NOW)
    assert entry(menu, "Open Audio").action == Action(ActionKind.OPEN_FOLDER, "/home/me/Voiced/Audio")
    assert entry(menu, "Open Failed").action == Action(ActionKind.OPEN_FOLDER, "/home/me/Voiced/Failed")


def test_no_separator_stands_at_an_end_or_beside_another() -> None:
    for state in (TrayState(), TrayState(link=Link.OFFLINE), TrayState(link=Link.SILENT), online()):
        menu = build_menu(state, NOW)
        assert menu[0] != SEPARATOR
        assert menu[-1] != SEPARATOR
        assert not any(one == two == SEPARATOR for one, two in pairwise(menu))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "Ready on CPU, no model loaded"),
        ({"models": [told_model()]}, "Ready on CPU"),
        ({"running": 1, "device": "cuda:0", "queued": 3}, "Busy: speaking on GPU 0, 3 waiting"),
        ({"running": 2}, "Busy: 2 jobs on CPU"),
        ({"is_paused": True, "queued": 3}, "Paused, 3 waiting"),
        ({"status": m.Health.DEGRADED, "models": [told_model()]}, "Degraded on CPU"),
        ({"status": m.Health.STOPPING}, "The daemon is stopping"),
        (
            {"lock": m.LockInfo(device="cpu"), "models": [told_model()]},
            "Ready on CPU, locked to CPU",
        ),
        (
            {"lock": m.LockInfo(device="cpu", pid=7), "models": [told_model()]},
            "Ready on CPU, locked to CPU until log-out",
        ),
        (
            {"lock": m.LockInfo(device="cpu", pid=8), "models": [told_model()]},
            "Ready on CPU, locked to CPU until process 8 ends",
        ),
    ],
)
def test_status_line(fields: dict[str, Any], expected: str) -> None:
    assert words.status_line(online(**fields), NOW) == expected


def test_the_title_tells_the_load_in_coarse_steps() -> None:
    gpus = [
        m.GpuSample(index=0, name="", utilisation_fraction=0.82),
        m.GpuSample(index=1, name="", is_asleep=True),
    ]
    state = online(load=told_load(cpu_fraction=0.31, memory_fraction=0.5, gpus=gpus), models=[told_model()])
    expected = "voiced: Ready on CPU (CPU 30 %, memory 50 %, GPU 0 80 %, GPU 1 asleep)"
    assert words.title(state, NOW) == expected


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-01-01T15:30:00+00:00", "17:30"),
        ("2026-01-01T22:30:00Z", "Fri 02 Jan 00:30"),
        ("nonsense", "nonsense"),
    ],
)
def test_stamps_are_shown_in_the_zone_of_now(stamp: str, expected: str) -> None:
    assert words.clock_text(stamp, NOW) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"segments": 0}, "report.epub: 0 %, about 3 min left"),
        ({"segments": 3, "segments_done": 2, "eta_s": None}, "report.epub: 60 %"),
        ({"state": m.JobState.QUEUED}, "report.epub: queued"),
        ({"state": m.JobState.FINISHING}, "report.epub: writing the file"),
        ({"eta_s": 59.0}, "report.epub: 40 %, less than a minute left"),
        ({"eta_s": 7000.0}, "report.epub: 40 %, about 2 h left"),
        ({"name": "x" * 60 + ".epub", "eta_s": None}, "x" * 28 + "…" + "x" * 6 + ".epub: 40 %"),
    ],
)
def test_job_line(fields: dict[str, Any], expected: str) -> None:
    assert words.job_line(make_job(**fields)) == expected


@pytest.mark.parametrize(
    ("action", "kind", "fields"),
    [
        (Action(ActionKind.LOCK, "cuda"), m.SetDeviceLock, {"device": "cuda", "for_s": None}),
        (Action(ActionKind.LOCK, "cpu", 60.0), m.SetDeviceLock, {"device": "cpu", "for_s": 60.0}),
        (Action(ActionKind.LOCK_UNTIL_LOGOUT, "cpu"), m.SetDeviceLock, {"until_pid": 7}),
        (Action(ActionKind.PAUSE), m.Pause, {"job_id": None}),
        (Action(ActionKind.RESUME), m.Resume, {"job_id": None}),
        (Action(ActionKind.CANCEL, "j"), m.Cancel, {"job_id": "j"}),
        (Action(ActionKind.RETRY, "j"), m.RetryJob, {"job_id": "j"}),
        (Action(ActionKind.UNLOAD, "kokoro"), m.UnloadModel, {"model": "kokoro"}),
    ],
)
def test_requests(action: Action, kind: type[m.Request], fields: dict[str, Any]) -> None:
    request = request_for(action, own_pid=7)
    assert isinstance(request, kind)
    assert {name: getattr(request, name) for name in fields} == fields


def test_what_is_not_asked_of_the_daemon() -> None:
    others = {ActionKind.READ_CLIPBOARD, ActionKind.STOP_READING, ActionKind.OPEN_FOLDER}
    others |= {ActionKind.START, ActionKind.RESTART, ActionKind.QUIT}
    assert {kind for kind in ActionKind if request_for(Action(kind, "cpu"), 7) is None} == others


def test_now_may_be_in_any_zone() -> None:
    assert words.clock_text("2026-01-01T15:30:00Z", NOW.astimezone(UTC)) == "15:30"
