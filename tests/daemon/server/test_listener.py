"""Listening sockets: their place is safe, kept, and given back."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Home, temporary_home
from voiced.errors import UnsafeFolder
from voiced.server.listener import Listener, open_listeners
from voiced_ipc import Endpoint


@pytest.fixture
def place() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


def opened(endpoint: Endpoint, passed: dict[str, int] | None = None) -> tuple[Listener, Listener, Listener]:
    return open_listeners(endpoint, passed or {})


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_three_sockets_for_us_alone(place: Home) -> None:
    listeners = opened(place.endpoint)
    assert stat.S_IMODE(place.endpoint.folder.stat().st_mode) == 0o700
    for path in (place.endpoint.speech, place.endpoint.control, place.endpoint.events):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert answers(path)
    for listener in listeners:
        listener.close()
    assert list(place.endpoint.folder.iterdir()) == []


def test_a_dead_socket_is_replaced(place: Home) -> None:
    place.endpoint.folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.endpoint.speech))
    assert not answers(place.endpoint.speech)
    listeners = opened(place.endpoint)
    assert answers(place.endpoint.speech)
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_something_else_in_its_place_is_left_alone(place: Home, kind: str) -> None:
    place.endpoint.folder.mkdir(mode=0o700)
    path = place.endpoint.control
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(place.root / "elsewhere")
    with pytest.raises(UnsafeFolder, match=r"control\.sock is not a socket"):
        opened(place.endpoint)
    assert os.path.lexists(path)
    assert not place.endpoint.speech.exists()  # what was opened before is closed again


@pytest.mark.parametrize("what", ["open", "link", "file"])
def test_an_unsafe_folder_is_refused(place: Home, what: str) -> None:
    folder = place.endpoint.folder
    if what == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif what == "link":
        (place.root / "real").mkdir(mode=0o700)
        folder.symlink_to(place.root / "real")
    else:
        folder.write_text("")
    with pytest.raises(UnsafeFolder):
        opened(place.endpoint)


def test_a_passed_descriptor_keeps_its_place(place: Home) -> None:
    place.endpoint.folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place.endpoint.speech))
        made.listen()
        inode = place.endpoint.speech.stat().st_ino
        listeners = opened(place.endpoint, {str(place.endpoint.speech): os.dup(made.fileno())})
        assert place.endpoint.speech.stat().st_ino == inode
        for listener in listeners:
            listener.close()
        assert place.endpoint.speech.stat().st_ino == inode
        assert answers(place.endpoint.speech)
        assert not place.endpoint.control.exists()


def test_a_socket_that_took_our_place_is_not_removed(place: Home) -> None:
    listeners = opened(place.endpoint)
    place.endpoint.speech.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place.endpoint.speech))
        for listener in listeners:
            listener.close()
        assert place.endpoint.speech.exists()


def test_few_descriptors_let_few_wait(place: Home) -> None:
    listeners = opened(place.endpoint)
    listeners[0].bound(64)
    waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(20)]
    told = [each.connect_ex(str(place.endpoint.speech)) for each in waiting]
    assert told[:4] == [0] * 4
    assert told[8:] == [errno.EAGAIN] * 12
    for peer in waiting:
        peer.close()
    for listener in listeners:
        listener.close()


def test_libzmq_gets_a_descriptor_of_its_own(place: Home) -> None:
    listeners = opened(place.endpoint)
    os.close(listeners[0].duplicate())
    assert answers(place.endpoint.speech)
    for listener in listeners:
        listener.close()
