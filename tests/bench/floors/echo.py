"""A ROUTER that answers every request with the same reply: what a round trip costs without us.

    python echo.py ENDPOINT REPLY

REPLY is a file with the reply's second frame; the first is the request's.
"""

import sys
from pathlib import Path

import zmq


def main() -> None:
    endpoint, reply = sys.argv[1:]
    header = Path(reply).read_bytes()
    router: zmq.Socket[bytes] = zmq.Context().socket(zmq.ROUTER)
    router.bind(endpoint)
    print("ready", flush=True)
    while True:
        identity, tag, *_ = router.recv_multipart()
        router.send_multipart([identity, tag, header])


if __name__ == "__main__":
    main()
