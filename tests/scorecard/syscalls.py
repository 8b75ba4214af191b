"""A running program's system calls that change something: each is looked at before it is done, and may be refused.

Linux on x86-64, by ptrace: all threads of the program stop at each call for some microseconds. What the program would
do is told to a function that lets it happen, has it fail with an errno, or ends the program there and then.
Nothing of the program knows of it.
"""

import contextlib
import ctypes
import functools
import os
import platform
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tests.support import need

KILL = -1
"""The answer that ends the program instead of the call."""

# <sys/ptrace.h>
_SEIZE, _INTERRUPT, _LISTEN, _SYSCALL = 0x4206, 0x4207, 0x4208, 24
_GETREGS, _SETREGS, _SYSCALL_INFO = 12, 13, 0x420E
_OPTIONS = 0x1 | 0x8  # stops at calls are told from signals; new threads are followed
_EVENT_STOP = 128
_ENTRY, _EXIT = 1, 2
_INFO = struct.Struct("<B3xIQQ7Q")
_REGISTERS = struct.Struct("<27Q")
_RESULT, _NUMBER = 10, 15  # rax and orig_rax in user_regs_struct
_WALL, _OF_THIS_THREAD = 0x40000000, 0x20000000
_AT_FDCWD = 0xFFFFFF9C
_MAKES = 0x40 | 0x200  # O_CREAT, O_TRUNC

# name: (number, place of the descriptor, place of the path); None = has none. <asm/unistd_64.h>
_CALLS: dict[str, tuple[int, int | None, int | None]] = {
    "write": (1, 0, None),
    "open": (2, None, 0),
    "pwrite64": (18, 0, None),
    "writev": (20, 0, None),
    "sendto": (44, 0, None),
    "sendmsg": (46, 0, None),
    "fsync": (74, 0, None),
    "fdatasync": (75, 0, None),
    "ftruncate": (77, 0, None),
    "rename": (82, None, 0),
    "mkdir": (83, None, 0),
    "rmdir": (84, None, 0),
    "link": (86, None, 0),
    "unlink": (87, None, 0),
    "chmod": (90, None, 0),
    "fchmod": (91, 0, None),
    "openat": (257, 0, 1),
    "mkdirat": (258, 0, 1),
    "unlinkat": (263, 0, 1),
    "renameat": (264, 0, 1),
    "linkat": (265, 0, 1),
    "fallocate": (285, 0, None),
    "renameat2": (316, 0, 1),
}
_NAMES = {number: name for name, (number, _, _) in _CALLS.items()}
_FLAGS_AT = {"open": 1, "openat": 2}


class Call(NamedTuple):
    """A call that is about to change something."""

    name: str
    path: str
    """What it changes; `socket:[...]` for a message."""

    @property
    def is_message(self) -> bool:
        """Whether somebody is told something."""
        return self.path.startswith("socket:")


Answer = Callable[[Call], int]
"""0 lets a call happen, an errno has it fail, `KILL` ends the program; called in the tracer's thread."""


def need_tracer() -> None:
    """Skip the test where calls cannot be looked at."""
    is_known = sys.platform == "linux" and platform.machine() == "x86_64"
    need("ptrace", is_known, "system calls are looked at on Linux on x86-64 only")


class Tracer:
    """Looks at all threads of some processes, from `start` until they have ended.

    Nobody may wait for one of them meanwhile, nor poll it: what the kernel tells of a stop is told once.

    Args:
        pids: The program's, and those of the children whose calls count too.
        answer: What becomes of each call.
    """

    def __init__(self, pids: Iterable[int], answer: Answer) -> None:
        self._pids = tuple(pids)
        self.answer = answer
        self._failing: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="tracer")
        self._is_attached = threading.Event()
        self._fault: OSError | None = None

    def start(self) -> None:
        """Begin; returns when no call is missed any more.

        Raises:
            OSError: If the system does not allow it.
        """
        self._thread.start()
        self._is_attached.wait(20)
        if self._fault is not None:
            raise self._fault

    def kill(self) -> None:
        """End all of them at once."""
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def join(self) -> None:
        """Wait until all of them have ended."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    # -- the thread: the kernel allows ptrace to the one that began it ------------------------------------

    def _run(self) -> None:
        try:
            for pid in self._pids:
                self._seize(pid)
        except OSError as error:
            self._fault = error
            return
        finally:
            self._is_attached.set()
        with contextlib.suppress(ChildProcessError):  # nobody is left
            while True:
                tid, status = os.waitpid(-1, _WALL | _OF_THIS_THREAD)
                if os.WIFSTOPPED(status):
                    with contextlib.suppress(ProcessLookupError):  # killed as it stood
                        self._stopped(tid, status)

    def _seize(self, pid: int) -> None:
        seized: set[int] = set()
        while new := {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()} - seized:
            for tid in new:
                with contextlib.suppress(ProcessLookupError):
                    _ptrace(_SEIZE, tid, 0, _OPTIONS)
                    _ptrace(_INTERRUPT, tid)
            seized |= new

    def _stopped(self, tid: int, status: int) -> None:
        event, number = status >> 16, os.WSTOPSIG(status)
        if number == signal.SIGTRAP | 0x80:
            self._at_call(tid)
            _ptrace(_SYSCALL, tid)
        elif event == _EVENT_STOP and number != signal.SIGTRAP:
            _ptrace(_LISTEN, tid)  # a SIGSTOP: it stays so until SIGCONT
        else:
            _ptrace(_SYSCALL, tid, 0, 0 if event or number == signal.SIGTRAP else number)

    def _at_call(self, tid: int) -> None:
        info = ctypes.create_string_buffer(_INFO.size)
        _ptrace(_SYSCALL_INFO, tid, _INFO.size, ctypes.addressof(info))
        kind, _, _, _, number, *arguments = _INFO.unpack(info.raw)
        if kind == _EXIT and tid in self._failing:
            _set_register(tid, _RESULT, -self._failing.pop(tid))
        elif kind == _ENTRY and number in _NAMES:
            call = _call_of(tid, _NAMES[number], arguments)
            errno = self.answer(call) if call is not None else 0
            if errno == KILL:
                self.kill()
            elif errno:
                self._failing[tid] = errno
                _set_register(tid, _NUMBER, -1)  # no call has this number: nothing happens


def _call_of(tid: int, name: str, arguments: list[int]) -> Call | None:
    _, descriptor_at, path_at = _CALLS[name]
    if name in _FLAGS_AT and not arguments[_FLAGS_AT[name]] & _MAKES:
        return None
    base = ""
    if descriptor_at is not None and arguments[descriptor_at] & 0xFFFFFFFF != _AT_FDCWD:
        with contextlib.suppress(OSError):
            base = str(Path(f"/proc/{tid}/fd/{arguments[descriptor_at] & 0xFFFFFFFF}").readlink())
    if path_at is None:
        return Call(name, base) if base.startswith(("/", "socket:")) else None
    return Call(name, os.path.join(base, _read_path(tid, arguments[path_at])))  # noqa: PTH118 - a name, not a path


def _read_path(tid: int, address: int) -> str:
    with Path(f"/proc/{tid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        # A page at most: the next one may not be there.
        data = memory.read(4096 - address % 4096)
        if b"\0" not in data:
            data += memory.read(4096)
    return os.fsdecode(data.partition(b"\0")[0])


def _set_register(tid: int, place: int, value: int) -> None:
    registers = ctypes.create_string_buffer(_REGISTERS.size)
    _ptrace(_GETREGS, tid, 0, ctypes.addressof(registers))
    values = list(_REGISTERS.unpack(registers.raw))
    values[place] = value & 0xFFFFFFFFFFFFFFFF
    registers.raw = _REGISTERS.pack(*values)
    _ptrace(_SETREGS, tid, 0, ctypes.addressof(registers))


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    library.ptrace.restype = ctypes.c_long
    return library


def _ptrace(request: int, tid: int, address: int = 0, data: int = 0) -> None:
    if _library().ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
