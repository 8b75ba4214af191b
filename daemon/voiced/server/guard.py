"""The guard: peers may neither use up the descriptors nor the memory of the daemon.

libzmq ends the process when `accept` finds no descriptor left, and bounds a frame but not a message. So each socket has
its share of the descriptors: above it all its peers are dropped and new ones wait in the backlog for a moment (libzmq
cannot stop accepting and keep those that are there: its sessions belong to the listener). A flood at one socket leaves
the others alone. All peers are dropped when the memory grows while they send what never becomes a message, and nobody
is taken until it is free again: else each trip would begin from a higher line. Proper clients connect again by
themselves.

A unix socket carries a gigabyte in a second, so a look four times in a second would come too late. While peers are
quiet, work is what brings the next look forward: who sends much makes libzmq's thread work.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import zmq

from voiced.memory import rss_bytes, trim_memory
from voiced.server.channel import Channel
from voiced.server.effort import Effort

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

logger = logging.getLogger(__name__)

PEER_SHARE = 4
"""Peers may take one descriptor in so many, all sockets together."""
REFUSE_S = 1.0
"""How long a socket takes nobody after it was full."""
MEMORY_STEP_BYTES = 64 << 20
_CALM_S = 0.25
_ALERT_S = 0.02
_ALERT_BYTES = 4 << 20
_EFFORT_S = 0.01
"""Processor time that brings the next look forward: some 10 MB from one peer."""
_NEW_S = 1.0
"""For so long after a peer came the looks are close: most who attack do it at once."""
_FREE_S = 0.05
"""libzmq's threads free what dropped peers have sent a moment later; until then nobody is taken."""
_TRIM_BYTES = 8 << 20
_TRIM_S = 1.0
_TRIM_FOR_S = 4.0
"""For so long it is given back again and again: libzmq's threads free what peers left when they come to it."""


class Guard:
    """Counts the peers of all channels, and watches the memory while there are any.

    Args:
        channels: Those that peers connect to.
        descriptors: Limit of open files.
        read_rss: Gives the daemon's resident bytes.
    """

    def __init__(
        self, channels: Sequence[Channel], descriptors: int, read_rss: Callable[[], int] | None = None
    ) -> None:
        self._channels = channels
        self._limit = descriptors // PEER_SHARE // len(channels)
        self._read_rss = read_rss or rss_bytes
        self._peers = dict.fromkeys(channels, 0)
        self._loop: AbstractEventLoop | None = None
        self._timer: TimerHandle | None = None
        self._effort = Effort(_EFFORT_S, self._look_sooner)
        self._is_dropping = False
        """All peers were dropped, and nobody is taken yet."""
        self._base_bytes = 0
        self._last_bytes = 0
        self._alert_until = 0.0
        self._trim_at = 0.0
        """When memory that was taken for peers is given back; 0 = it was."""
        self._trim_until = 0.0
        self._has_left = False
        """Whether a peer went since the last look."""
        self.trips = 0
        """How often all peers were dropped for their memory."""
        self.floods = 0
        """How often a socket had too many peers."""

    @property
    def peers(self) -> int:
        """Peers that are connected."""
        return sum(self._peers.values())

    def attach(self, loop: "AbstractEventLoop") -> None:
        """Begin to watch."""
        self._loop = loop
        self._effort.attach(loop)
        for channel in self._channels:
            self._listen(channel)

    def close(self) -> None:
        """Watch no more; before the channels close."""
        self._effort.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None:
            for channel in self._channels:
                self._loop.remove_reader(channel.monitor.fileno())
        self._loop = None

    # -- peers ----------------------------------------------------------------------------------------

    def _listen(self, channel: Channel) -> None:
        assert self._loop is not None
        self._loop.add_reader(channel.monitor.fileno(), self._drain, channel)
        self._loop.call_soon(self._drain, channel)

    def _drain(self, channel: Channel) -> None:
        # Not until no more have come: while they come faster than they are counted, that is never.
        while self._loop is not None and not channel.monitor.closed and not self._is_full(channel):
            try:
                event, _address = channel.monitor.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                break
            # zmq_socket_monitor(3): the first frame begins with the event, 16 bit in the machine's order.
            if int.from_bytes(event[:2], sys.byteorder) == zmq.EVENT_ACCEPTED:
                self._peers[channel] += 1
                self._alert_until = self._loop.time() + _NEW_S
            else:
                self._peers[channel] = max(0, self._peers[channel] - 1)
                self._has_left = True
        self._judge_peers(channel)

    def _is_full(self, channel: Channel) -> bool:
        return self._peers[channel] >= self._limit

    def _judge_peers(self, channel: Channel) -> None:
        if self._loop is not None and self._is_full(channel):
            self.floods += 1
            logger.warning(
                "%d peers at %s: all are dropped, for %.0f s nobody is taken",
                self._peers[channel],
                channel.name,
                REFUSE_S,
            )
            self._drop(channel, is_accepting=False)
            self._loop.call_later(REFUSE_S, self._accept_again, channel)
        if self.peers and self._timer is None and self._loop is not None:
            self._last_bytes = self._read_rss()
            self._base_bytes = min(self._base_bytes or self._last_bytes, self._last_bytes)
            self._timer = self._loop.call_later(_ALERT_S, self._look)
            self._effort.count(is_on=True)

    def _drop(self, channel: Channel, *, is_accepting: bool) -> None:
        assert self._loop is not None
        self._loop.remove_reader(channel.monitor.fileno())
        channel.drop_peers(is_accepting=is_accepting)
        self._peers[channel] = 0
        self._listen(channel)

    def _accept_again(self, channel: Channel) -> None:
        if self._loop is not None:
            channel.accept()

    # -- memory ---------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Take the present memory as usual: the daemon has just grown by its own doing."""
        self._base_bytes = self._last_bytes = self._read_rss()

    def _look_sooner(self) -> None:
        """The daemon has worked: look now."""
        if self._loop is not None and self._timer is not None and not self._is_dropping:
            self._timer.cancel()
            self._look()

    def _look(self) -> None:
        self._timer = None
        if self._loop is None:
            return
        now = self._read_rss()
        grown, self._last_bytes = now - self._last_bytes, now
        if grown > _ALERT_BYTES:
            self._alert_until = self._loop.time() + _NEW_S
        if now - self._base_bytes > MEMORY_STEP_BYTES:
            self._drop_all(now)
            return
        self._trim_when_quiet(now)
        if self.peers or self._trim_at:
            is_alert = self._loop.time() < self._alert_until
            self._timer = self._loop.call_later(_ALERT_S if is_alert else _CALM_S, self._look)
        else:
            self._base_bytes = 0
            self._effort.count(is_on=False)

    def _trim_when_quiet(self, now: int) -> None:
        """Give back what was taken for peers, a while after it was last needed; the C library would keep it."""
        assert self._loop is not None
        time, has_left, self._has_left = self._loop.time(), self._has_left, False
        if now - self._base_bytes > _TRIM_BYTES and has_left:
            self._trim_at, self._trim_until = time + _TRIM_S, time + _TRIM_FOR_S
        elif self._trim_at and time >= self._trim_at:
            trim_memory()
            self._trim_at = time + _TRIM_S if time < self._trim_until else 0.0
        elif now - self._base_bytes > _TRIM_BYTES and self._alert_until > time:
            self._trim_at = time + _TRIM_S

    def _drop_all(self, now: int) -> None:
        assert self._loop is not None
        self.trips += 1
        logger.warning("the memory grew to %d MB: all peers are dropped", now >> 20)
        for channel in self._channels:
            self._drop(channel, is_accepting=False)
        self._is_dropping = True
        self._timer = self._loop.call_later(_FREE_S, self._recover)

    def _recover(self) -> None:
        self._timer, self._is_dropping = None, False
        if self._loop is None:
            return
        trim_memory()
        # What stays after a trip is the new measure: a daemon that really needs more must not trip for ever.
        self.settle()
        for channel in self._channels:
            channel.accept()
        self._trim_at = self._loop.time() + _TRIM_S
        self._trim_until = self._loop.time() + _TRIM_FOR_S
        self._timer = self._loop.call_later(_ALERT_S, self._look)
