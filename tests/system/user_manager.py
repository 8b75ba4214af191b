"""A real `systemd --user` in namespaces of its own: for tests, and only as root.

It has private mounts, processes, cgroups and a private /run, so the machine's own services are not touched, and
all of it dies with its first process. The same file is the program inside: stage `enter` makes the cgroup and the
namespaces, stage `inside` becomes their first process.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

SYSTEMD = Path("/lib/systemd/systemd")
_HOME = "/run/home"
_READY = "the manager is there"


def missing() -> str:
    """Return what this machine lacks for a manager; empty where it can run."""
    if os.geteuid() != 0:
        return "namespaces need root"
    programs = [
        name for name in ("unshare", "nsenter", "setpriv", "systemctl", "mount") if not shutil.which(name)
    ]
    if programs or not SYSTEMD.exists():
        return f"not installed: {', '.join(programs) or SYSTEMD}"
    return "" if (_cgroups() / "cgroup.procs").exists() else "no cgroup2 is mounted"


class UserManager:
    """The manager of one user; a context manager.

    Args:
        uid: Who runs it and everything in it: 0, or an ordinary user (the honest case).
        reachable: Folders that this user must be able to read though they lie below closed ones.
    """

    def __init__(self, uid: int, reachable: Sequence[Path] = ()) -> None:
        self.uid = uid
        self._environ = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": _HOME,
            "XDG_RUNTIME_DIR": f"/run/user/{uid}",
            "LC_ALL": "C.UTF-8",
        }
        self._cgroup = _cgroups() / f"voiced-test-{os.getpid()}-{uid}"
        order = {
            "uid": uid,
            "cgroup": str(self._cgroup),
            "reachable": [str(path.resolve()) for path in reachable],
        }
        self._process = subprocess.Popen(
            [sys.executable, "-IS", __file__, "enter", json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._first_pid = 0

    def __enter__(self) -> "UserManager":
        try:
            assert self._process.stdout
            said = self._process.stdout.readline().strip()
            if said != _READY:
                raise RuntimeError(f"no namespaces: {said or self._process.wait(10)}")
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            self._first_pid = int(children.read_text().split()[0])
            self._wait_until_running()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def home(self) -> Path:
        """The user's home folder, as seen from outside."""
        return Path(f"/proc/{self._first_pid}/root{_HOME}")

    def run(self, *words: str, timeout_s: float = 60.0, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Return how a command of the user ended; standard output and error come together."""
        enter = ["nsenter", f"--target={self._first_pid}", "--mount", "--pid", "--cgroup", "--ipc", "--wd=/"]
        if self.uid:
            enter += ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        return subprocess.run(
            [*enter, *words],
            env=self._environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def systemctl(self, *words: str) -> str:
        """Return what `systemctl --user` printed.

        Raises:
            AssertionError: If it failed; with what it printed, and its services' last words.
        """
        done = self.run("systemctl", "--user", "--no-pager", *words)
        assert done.returncode == 0, f"systemctl {words}: {done.stdout}\n{self.log()[-4000:]}"
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.systemctl("show", unit, f"--property={name}", "--value")

    def wait_for(self, unit: str, name: str, expected: str, timeout_s: float = 30.0) -> None:
        """Wait until a property has the expected value.

        Raises:
            TimeoutError: If it never had; with the last value, and its services' last words.
        """
        end = time.monotonic() + timeout_s
        while (value := self.show(unit, name)) != expected:
            if time.monotonic() > end:
                raise TimeoutError(f"{unit} {name} is {value!r}, not {expected!r}\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def log(self) -> str:
        """Return what the services printed; the manager itself prints nothing here."""
        log = self.home / "services.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _wait_until_running(self) -> None:
        end = time.monotonic() + 20
        while self.run("systemctl", "--user", "is-system-running").returncode:
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"the manager did not start: {self.log()[-4000:]}")
            time.sleep(0.05)

    def _end(self) -> None:
        self._process.kill()  # --kill-child: the first process inside goes with it, and with that all others
        self._process.communicate(timeout=20)
        end = time.monotonic() + 10
        while self._cgroup.exists() and time.monotonic() < end:
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError:
                    time.sleep(0.02)  # the last processes are still being reaped


def _cgroups() -> Path:
    hybrid = Path("/sys/fs/cgroup/unified")
    return hybrid if hybrid.is_dir() else Path("/sys/fs/cgroup")


def _enter(order: dict[str, object]) -> None:
    cgroup = Path(str(order["cgroup"]))
    cgroup.mkdir()
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    private = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup", "--ipc"]
    inside = [sys.executable, "-IS", __file__, "inside", json.dumps(order)]
    os.execvp("unshare", ["unshare", *private, *inside])


def _inside(order: dict[str, object]) -> None:
    uid, reachable = int(str(order["uid"])), order["reachable"]
    assert isinstance(reachable, list)
    _mount("-t", "tmpfs", "tmpfs", "/sys/fs/cgroup")
    _mount("-t", "cgroup2", "none", "/sys/fs/cgroup")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _reveal([Path(path) for path in reachable])
    runtime, home = Path(f"/run/user/{uid}"), Path(_HOME)
    Path("/run/systemd/system").mkdir(parents=True)  # systemctl looks there whether systemd runs
    runtime.mkdir(parents=True)
    runtime.chmod(0o700)
    home.mkdir()
    cgroup = Path("/sys/fs/cgroup/user")
    cgroup.mkdir()
    everywhere = home / ".config/systemd/user/service.d"
    everywhere.mkdir(parents=True)
    (everywhere / "log.conf").write_text("[Service]\nStandardOutput=append:%h/services.log\n")
    for path in (runtime, home, *home.rglob("*"), cgroup, *cgroup.iterdir()):
        os.chown(path, uid, uid)
    environ = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": _HOME, "XDG_RUNTIME_DIR": str(runtime)}
    user = f"setpriv --reuid={uid} --regid={uid} --clear-groups" if uid else ""
    start = f"exec {user} {SYSTEMD} --user --unit=basic.target"
    manager = subprocess.Popen(
        ["sh", "-c", f"echo $$ >{cgroup}/cgroup.procs; {start}"],
        env=environ | {"LC_ALL": "C.UTF-8"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    print(_READY, flush=True)
    while os.wait()[0] != manager.pid:
        pass  # the first process reaps whoever has no parent


def _reveal(paths: list[Path]) -> None:
    """Lay an open folder over each closed one, with only these paths in it."""
    kept = Path("/run/kept")
    closed: dict[Path, list[Path]] = {}
    for path in paths:
        above = [folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001]
        if above:
            closed.setdefault(above[0], []).append(path)
    for folder, inner in closed.items():
        for number, path in enumerate(inner):
            (kept / str(number)).mkdir(parents=True, exist_ok=True)
            _mount("--bind", str(path), str(kept / str(number)))
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
        for number, path in enumerate(inner):
            path.mkdir(parents=True, exist_ok=True)
            _mount("--move", str(kept / str(number)), str(path))


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


if __name__ == "__main__":
    {"enter": _enter, "inside": _inside}[sys.argv[1]](json.loads(sys.argv[2]))
