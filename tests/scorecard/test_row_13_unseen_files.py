"""Row 13, unseen files: present at start, dropped while down, 20,000 during SIGSTOP, folder removed and remade, watcher
thread killed.

Target: 100 % found within 60 s after return. None of these gives an event that can be trusted; a scan finds them.
"""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.scorecard.card import Card
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc.messages import JobState

FOUND_S = 60.0
QUEUE_LIMIT = 512
_SABOTEUR = """
import sys, threading, time
from pathlib import Path
from voiced.app import run

def lie_in_wait(sign):
    while not sign.exists():
        time.sleep(0.02)
    for thread in threading.enumerate():
        if type(thread).__module__.startswith("watchdog."):
            thread.stop()
            thread.join()
    sign.unlink()

threading.Thread(target=lie_in_wait, args=(Path(sys.argv[1]),), daemon=True).start()
sys.exit(run({"scan_interval_s": float(sys.argv[2])}))
"""
"""The daemon, with somebody in it who ends the watcher's threads when he is given a sign."""


def drop(home: Home, names: list[str]) -> None:
    home.drop.mkdir(parents=True, exist_ok=True)
    for name in names:
        (home.drop / name).parent.mkdir(parents=True, exist_ok=True)
        (home.drop / name).write_text(f"This is the text of {name}.")


def wait_spoken(daemon: DaemonProcess, count: int, timeout_s: float = FOUND_S) -> float:
    """Wait until so many were spoken; return the seconds."""
    began = time.monotonic()
    jobs = daemon.wait_jobs(count, timeout_s)
    assert {job.state for job in jobs} == {JobState.DONE}
    assert len(jobs) == count
    return time.monotonic() - began


def test_what_lay_there_at_the_start_or_came_while_it_was_down(card: Card, home: Home) -> None:
    count = card.count(20, 500)
    drop(home, [f"before-{i}.txt" for i in range(count)])
    with running_daemon(home) as daemon:
        at_start_s = wait_spoken(daemon, count)
        daemon.kill()
        drop(home, [f"meanwhile-{i}.txt" for i in range(count)])
        daemon.restart()
        while_down_s = wait_spoken(daemon, 2 * count)
    card.tell(files=2 * count, spoken_at_start_s=at_start_s, spoken_while_down_s=while_down_s)


def test_what_came_while_it_was_stopped(card: Card, home: Home) -> None:
    """The kernel's queue holds 16,384 events: of the full count it loses some, and says so once."""
    count = card.count(200, 20_000)
    with running_daemon(home) as daemon, daemon.client(timeout_s=30.0) as client:
        client.pause()  # found is found: what is spoken meanwhile would not be counted
        wait_for(home.drop.exists, what="the drop folder")
        daemon.signal(signal.SIGSTOP)
        # Half of them in sub-folders that are new too, and are watched only once somebody has seen them.
        drop(home, [f"{f'in {i % 400}/' if i % 2 else ''}stopped-{i}.txt" for i in range(count)])
        daemon.signal(signal.SIGCONT)
        began = time.monotonic()
        most = 0

        def are_all_found() -> bool:
            nonlocal most
            status = client.status()
            most = max(most, status.queued + status.running + status.drop_folder.waiting)
            is_full = status.queued >= min(count, QUEUE_LIMIT)
            return is_full and status.queued + status.drop_folder.waiting == count

        wait_for(are_all_found, FOUND_S, f"finding {count} files")
        found_s = time.monotonic() - began
        client.resume()
        spoken = count if count <= QUEUE_LIMIT else 2 * QUEUE_LIMIT
        daemon.wait_jobs(spoken, FOUND_S * 2)
    card.tell(files=count, found_s=found_s, most_counted=most, spoken_before_the_end=spoken)


def test_a_folder_that_was_removed_and_made_again(card: Card, home: Home) -> None:
    rounds, worst_s = card.count(2, 20), 0.0
    with running_daemon(home) as daemon:
        drop(home, ["first.txt"])
        wait_spoken(daemon, 1)
        for i in range(rounds):
            shutil.rmtree(home.drop)
            time.sleep(card.random.uniform(0.0, 0.1))
            drop(home, [f"again-{i}.txt"])
            worst_s = max(worst_s, wait_spoken(daemon, i + 2))
    card.tell(rounds=rounds, worst_spoken_s=worst_s)


def test_a_watcher_whose_threads_have_ended(card: Card, home: Home) -> None:
    scan_s = 2.0 if not card.is_full else 30.0
    sign = home.root / "sign"
    daemon = DaemonProcess(home)
    daemon.errors.touch()
    daemon.process = subprocess.Popen(
        [sys.executable, "-c", _SABOTEUR, str(sign), str(scan_s)], env=home.environ, stderr=subprocess.DEVNULL
    )
    try:
        daemon.wait_ready()
        drop(home, ["seen.txt"])
        wait_spoken(daemon, 1)
        sign.touch()
        wait_for(lambda: not sign.exists(), what="the end of the watcher's threads")
        drop(home, ["unseen.txt"])
        unseen_s = wait_spoken(daemon, 2)
        drop(home, ["seen again.txt"])
        seen_again_s = wait_spoken(daemon, 3)
        assert "Traceback" not in daemon.log()
    finally:
        daemon.kill()
    assert sorted(path.name for path in Path(home.audio).glob("*.wav")) == [
        "seen again.wav",
        "seen.wav",
        "unseen.wav",
    ]
    card.tell(
        scan_interval_s=scan_s, spoken_after_the_end_s=unseen_s, spoken_after_the_mending_s=seen_again_s
    )
