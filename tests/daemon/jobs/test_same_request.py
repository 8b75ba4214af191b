"""The same durable request twice at once: one job, however the two meet. A real daemon."""

import pytest
import zmq

from tests.support import DaemonProcess
from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.messages import JobState, new_id

pytestmark = pytest.mark.process


def test_one_job_for_requests_that_meet(
    daemon: DaemonProcess, zmq_context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    with zmq_context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        peer.rcvtimeo = 15_000
        peer.connect(f"ipc://{daemon.home.endpoint.speech}")
        ids = [new_id() for _ in range(4)]
        for job_id in ids:
            request = m.Synthesize(request_id=job_id, output=m.Output.FILE)
            for _ in range(3):
                peer.send_multipart(codec.encode(request, b"Hello there. How are you?"))
        replies = [codec.decode_reply(peer.recv_multipart())[0] for _ in range(12)]
    assert [type(reply) for reply in replies] == [m.Accepted] * 12
    jobs = daemon.wait_jobs(4)
    assert sorted(job.job_id for job in jobs) == sorted(ids)
    assert {job.state for job in jobs} == {JobState.DONE}
    assert len(list(daemon.home.audio.glob("*.wav"))) == 4
    assert "Traceback" not in daemon.log()
