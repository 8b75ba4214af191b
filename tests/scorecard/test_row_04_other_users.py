"""Row 4, other users: another uid cannot connect, list, read or write; umask 000 and 022; pre-made open folders.

Target: 0 successes of at least 24 attempts at the sockets, the runtime, state, output and log; the daemon refuses to
start in an unsafe directory.

The home of the test is open to everybody, so that nothing but the daemon's own folders and its door protects it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scorecard.card import Card
from tests.support import DaemonProcess, Home, need, running_daemon, wait_for
from voiced.exit_codes import EXIT_CANNOT_START

pytestmark = pytest.mark.root

ATTEMPTS = 24
NOBODY = 65534
_STRANGER = """
import json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
assert os.getuid() == os.geteuid() == 65534
done, tried = [], 0


def attempt(what, path, act):
    global tried
    tried += 1
    try:
        act(path)
    except OSError:
        return
    done.append(f"{what} {path}")


def connect(path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)


def read(path):
    with open(path, "rb") as file:
        file.read(1)


def write(path):
    with open(path, "ab") as file:
        file.write(b"x")


def make(path):
    with open(os.path.join(path, "planted.txt"), "xb") as file:
        file.write(b"Say what a stranger wants.")


def link(path):
    os.symlink("/etc/passwd", os.path.join(path, "planted-link"))


def replace(path):
    os.rename(path, path + ".gone")


plan = json.load(sys.stdin)
for path in plan["sockets"]:
    attempt("connect", path, connect)
    attempt("unlink", path, os.unlink)
    attempt("chmod", path, lambda path: os.chmod(path, 0o777))
for path in plan["folders"]:
    for what, act in (("list", os.listdir), ("make", make), ("link", link), ("replace", replace)):
        attempt(what, path, act)
for path in plan["files"]:
    for what, act in (("read", read), ("write", write), ("unlink", os.unlink), ("replace", replace)):
        attempt(what, path, act)
json.dump({"tried": tried, "done": done}, sys.stdout)
"""


@pytest.fixture(autouse=True)
def root_alone(home: Home) -> None:
    """Only root can become somebody else; what lies above the daemon's folders is open."""
    need("root", os.getuid() == 0, "needs root, to become another user")
    home.root.chmod(0o755)


def strange(home: Home) -> tuple[int, list[str]]:
    """Let another user try everything; return how much, and what succeeded."""
    endpoint, paths = home.endpoint, home.paths
    plan = {
        "sockets": [str(path) for path in (endpoint.speech, endpoint.control, endpoint.events)],
        "folders": [
            str(path)
            for path in (
                endpoint.folder,
                paths.state,
                paths.spool,
                paths.incoming,
                paths.home,
                home.drop,
                home.audio,
            )
        ],
        "files": [str(path) for path in (*files_in(paths.state), *files_in(paths.home))],
    }
    ended = subprocess.run(
        [sys.executable, "-c", _STRANGER],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(ended.stdout)
    return told["tried"], told["done"]


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def work(daemon: DaemonProcess) -> None:
    """Leave something to be read: a job that is done, one that waits, a dropped text, audio, a log."""
    with daemon.client() as client:
        daemon.home.put("letter.txt", "A letter that nobody else may read.")
        client.submit_text("Something private.", name="private.txt")
        daemon.wait_jobs(2)
        client.pause()
        waiting = client.submit_text("What is not spoken yet is private too.").job_id
        assert client.job(waiting).state.value == "queued"


@pytest.mark.parametrize("umask", ["000", "022"])
@pytest.mark.parametrize("before", ["nothing", "open folders"])
def test_another_user_gets_nowhere(card: Card, home: Home, umask: str, before: str) -> None:
    if before == "open folders":
        for folder in (home.paths.state, home.paths.spool, home.paths.incoming):
            folder.mkdir(parents=True)
            folder.chmod(0o755)
    with running_daemon(home, prelude=f"umask {umask}") as daemon:
        work(daemon)
        kinds = {path.suffix for path in files_in(home.paths.state)} | {
            path.suffix for path in files_in(home.paths.home)
        }
        assert {".wav", ".txt", ".sqlite", ".log", ".lock"} <= kinds
        before_files = files_in(home.root)
        tried, done = strange(home)
        assert files_in(home.root) == before_files
        with daemon.client() as client:
            assert client.status().pid == daemon.pid
    card.tell(umask=umask, before=before, attempts=tried, successes=len(done))
    assert done == []
    assert tried >= ATTEMPTS


def test_the_door_holds_where_the_folder_does_not(card: Card, home: Home) -> None:
    """Were the folder of the sockets ever opened by mistake: libzmq tells the uid, and the daemon looks at it."""
    with running_daemon(home) as daemon:
        home.endpoint.folder.chmod(0o777)
        sockets = (home.endpoint.speech, home.endpoint.control)
        for path in sockets:
            path.chmod(0o777)
        for path in sockets:
            ended = subprocess.run(
                [sys.executable, "-c", _ASKS, str(path)],
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
            assert ended.stdout.strip() == "no answer"
        wait_for(lambda: "another user was turned away" in daemon.log(), what="a word about it")
    card.tell(umask="any", before="folder opened later", attempts=len(sockets), successes=0)


_ASKS = """
import os, sys, zmq
os.setgroups([]); os.setgid(65534); os.setuid(65534)
peer = zmq.Context().socket(zmq.DEALER)
peer.linger = 0
peer.connect("ipc://" + sys.argv[1])
peer.send_multipart([b"voiced/1", b"\\x82\\xa4type\\xaaget-status\\xaarequest_id\\xb0" + b"a" * 16])
print("answered" if peer.poll(1000) else "no answer")
sys.stdout.flush()
os._exit(0)
"""


def open_to_all(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def open_to_readers(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)


def link_elsewhere(folder: Path) -> None:
    target = folder.parent / "elsewhere"
    target.mkdir(mode=0o700, parents=True)
    folder.symlink_to(target)


def owned_by_another(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    os.chown(folder, NOBODY, NOBODY)


def below_an_open_one(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o777)


UNSAFE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "sockets: open to all": ("run", open_to_all),
    "sockets: open to readers": ("run", open_to_readers),
    "sockets: a link": ("run", link_elsewhere),
    "sockets: of another user": ("run", owned_by_another),
    "sockets: below a folder open to all": ("run", below_an_open_one),
    "state: open to all": ("state", open_to_all),
    "state: a link": ("state", link_elsewhere),
    "state: of another user": ("state", owned_by_another),
    "state: below a folder open to all": ("state", below_an_open_one),
    "spool: a link": ("state/spool", link_elsewhere),
    "incoming: open to all": ("state/incoming", open_to_all),
}


@pytest.mark.parametrize("case", UNSAFE)
@pytest.mark.parametrize("umask", ["000", "022"])
def test_it_refuses_to_start_in_an_unsafe_folder(card: Card, home: Home, case: str, umask: str) -> None:
    name, prepare = UNSAFE[case]
    folder = home.root / name
    prepare(folder)
    mode, owner = folder.lstat().st_mode, folder.lstat().st_uid
    daemon = DaemonProcess(home, prelude=f"umask {umask}").start(is_ready=False)
    try:
        assert daemon.wait() == EXIT_CANNOT_START
    finally:
        daemon.kill()
    assert str(folder) in daemon.log() or str(folder.parent) in daemon.log()
    assert "Traceback" not in daemon.log()
    assert (folder.lstat().st_mode, folder.lstat().st_uid) == (mode, owner)
    card.tell(umask=umask, unsafe=case, started=0)
