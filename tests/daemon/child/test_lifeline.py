"""Children end with their parent."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


CHILD = """
import os, sys, signal
from voiced.child.lifeline import bind_to_parent
bind_to_parent(int(sys.argv[1]))
ignored = [signal.getsignal(getattr(signal, name)) for name in ("SIGINT", "SIGHUP", "SIGUSR1")]
print(ignored == [signal.SIG_IGN] * 3, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, oct(os.umask(0)), flush=True)
sys.stdin.read()
"""
PARENT = """
import subprocess, sys, os
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], stdin=0, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_signals_and_umask() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with run:
        assert run.stdout is not None
        assert run.stdout.readline().split() == [b"True", b"True", b"0o77"]
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            run.send_signal(number)
        assert run.poll() is None
        run.terminate()
    assert run.returncode == -signal.SIGTERM


def test_gone_already() -> None:
    run = subprocess.run(
        [sys.executable, "-c", CHILD, "1"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if os.getpid() == 1:
        pytest.skip("the parent is process 1")
    assert (run.returncode, run.stdout) == (0, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_it_dies_with_a_killed_parent() -> None:
    held, given = os.pipe()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdin=held, stdout=subprocess.PIPE)
    os.close(held)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        watched = os.pidfd_open(pid)
        parent.kill()
        parent.wait()
        import select

        # The child's input is still open: it is the kernel that ends it.
        assert select.select([watched], [], [], 10)[0]
    os.close(watched)
    os.close(given)
