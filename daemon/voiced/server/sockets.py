"""The three sockets and what guards them, opened in order before the loop runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import zmq

from voiced.server.channel import Channel, Frames
from voiced.server.guard import Guard
from voiced.server.listener import Listener
from voiced.server.zap import Door

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Sockets:
    """Speech, control and events. Who comes before `attach` waits at the listeners.

    Args:
        listeners: Speech, control, events.
        descriptors: Limit of open files.
    """

    def __init__(self, listeners: tuple[Listener, Listener, Listener], descriptors: int) -> None:
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.BLOCKY, 0)
        self._listeners = listeners
        # The door stands before anybody can come in.
        self.door = Door(self._context)
        speech, control, events = listeners
        for listener in listeners:
            listener.bound(descriptors)
        self.speech = Channel(self._context, speech, zmq.ROUTER)
        self.control = Channel(self._context, control, zmq.ROUTER)
        self.events = Channel(self._context, events, zmq.PUB)
        self.guard = Guard((self.speech, self.control, self.events), descriptors)

    def attach(self, loop: "AbstractEventLoop", on_message: Callable[[Channel, Frames], None]) -> None:
        """Read on the loop; `on_message` is called for each message."""
        self.door.attach(loop)
        self.guard.attach(loop)
        self.speech.attach(loop, on_message)
        self.control.attach(loop, on_message)
        self.events.attach(loop)

    def close(self) -> None:
        """Close everything; the paths go too."""
        self.guard.close()
        for channel in (self.speech, self.control, self.events):
            channel.close()
        self.door.close()
        self._context.destroy(linger=0)
        for listener in self._listeners:
            listener.close()
