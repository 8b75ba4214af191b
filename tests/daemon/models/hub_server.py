"""A hub on this machine: the addresses that huggingface_hub asks for, real files, and faults where tests want them."""

import contextlib
import hashlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

_PIECE_BYTES = 64 << 10
_HOLD_S = 30.0


class Fault(NamedTuple):
    """What goes wrong with one answer about a file."""

    status: int = 0
    """Instead of the file."""
    headers: Mapping[str, str] = {}
    """With that status."""
    cut_after: int | None = None
    """Bytes after which the connection ends."""
    hold_after: int | None = None
    """Bytes after which nothing more comes until the test says so."""
    wrong: bytes | None = None
    """Sent in the file's place."""
    ignores_range: bool = False
    other_range: bool = False
    """Sends another part of the file than asked for, and says so."""


class Asked(NamedTuple):
    """One request."""

    path: str
    range: str
    authorization: str
    host: str


class HubServer:
    """A hub at `url`; large files are sent from another host name, as the real one does."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[Asked] = []
        self.sent: dict[str, int] = defaultdict(int)
        """Bytes of bodies by the file's path."""
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        """By the file's path, or by `api` for questions about repositories; used up one an answer."""
        self.extra_entries: list[dict[str, Any]] = []
        """Added to every listing."""
        self.gated: set[str] = set()
        """Repositories that only a token opens."""
        self.page_size = 1000
        self.held = threading.Event()
        self.release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def commit(self, repository: str) -> str:
        """Return the newest commit of a repository."""
        digest = hashlib.sha1(repository.encode())
        for path, data in sorted(self.repositories[repository].items()):
            digest.update(path.encode() + b"\0" + data)
        return digest.hexdigest()

    def fail(self, path: str, *faults: Fault) -> None:
        """Let the next answers about a file fail, in this order."""
        self.faults[path].extend(faults)

    def close(self) -> None:
        """End it and everything that it still sends."""
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def running_hub(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[HubServer]:
    """A hub that serves these files until the context ends."""
    server = HubServer()
    server.repositories = {name: dict(files) for name, files in repositories.items()}
    try:
        yield server
    finally:
        server.close()


def is_large(path: str) -> bool:
    """Return whether the hub keeps a file beside git."""
    return path.endswith((".safetensors", ".bin", ".pth", ".pt", ".onnx", ".gguf"))


def entry(path: str, data: bytes) -> dict[str, Any]:
    """Return a file as a listing tells it."""
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    told: dict[str, Any] = {"type": "file", "oid": blob, "size": len(data), "path": path}
    if is_large(path):
        told["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return told


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request; HTTP/1.0, so that every connection ends with its answer."""

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            path = unquote(address.path)
            self._remember(path)
            with contextlib.suppress(ConnectionError):
                if path.startswith("/api/models/"):
                    self._api(path.removeprefix("/api/models/"), parse_qs(address.query))
                elif path.startswith("/cdn/"):
                    repository, _, file = path.removeprefix("/cdn/").partition("//")
                    self._file(file, hub.repositories[repository][file])
                else:
                    self._resolve(path.removeprefix("/"))

        def do_CONNECT(self) -> None:
            """Somebody takes us for a proxy."""
            self._remember(self.path)
            self._error(403, "")

        do_HEAD = do_POST = do_CONNECT

        def _remember(self, path: str) -> None:
            told = (self.headers.get(name, "") for name in ("Range", "Authorization", "Host"))
            hub.asked.append(Asked(path, *told))

        def _api(self, path: str, query: dict[str, list[str]]) -> None:
            if hub.faults["api"]:
                fault = hub.faults["api"].popleft()
                self._error(fault.status, "", fault.headers)
                return
            if path.count("/") < 3:
                self._error(404, "RepoNotFound")
                return
            owner, name, kind, *rest = path.split("/")
            repository = f"{owner}/{name}"
            if not self._is_open(repository):
                return
            commit = hub.commit(repository)
            if rest[0] not in ("main", commit):
                self._error(404, "RevisionNotFound")
            elif kind == "revision":
                self._json({"id": repository, "sha": commit, "siblings": []})
            else:
                below = "/".join(rest[1:])
                entries = [
                    entry(file, data)
                    for file, data in hub.repositories[repository].items()
                    if not below or file.startswith(f"{below}/")
                ]
                if below and not entries:
                    self._error(404, "EntryNotFound")
                    return
                entries += hub.extra_entries
                start = int(query.get("cursor", ["0"])[0])
                page = entries[start : start + hub.page_size]
                link = {}
                if start + hub.page_size < len(entries):
                    place = f"{hub.url}{urlsplit(self.path).path}"
                    link = {"Link": f'<{place}?recursive=True&cursor={start + hub.page_size}>; rel="next"'}
                self._json(page, link)

        def _is_open(self, repository: str) -> bool:
            if repository in hub.gated and not self.headers.get("Authorization"):
                self._error(401, "GatedRepo")
            elif repository not in hub.repositories:
                self._error(404, "RepoNotFound")
            else:
                return True
            return False

        def _resolve(self, path: str) -> None:
            repository, _, rest = path.partition("/resolve/")
            _, _, file = rest.partition("/")
            if not self._is_open(repository):
                return
            data = hub.repositories[repository].get(file)
            if data is None:
                self._error(404, "EntryNotFound")
            elif is_large(file):
                self.send_response(HTTPStatus.FOUND)
                self.send_header("Location", f"http://localhost:{hub.port}/cdn/{repository}//{file}")
                self.send_header("X-Repo-Commit", hub.commit(repository))
                self.send_header("X-Linked-Size", str(len(data)))
                self.send_header("X-Linked-ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._file(file, data)

        def _file(self, path: str, data: bytes) -> None:
            fault = hub.faults[path].popleft() if hub.faults[path] else Fault()
            if fault.status:
                self._error(fault.status, "", fault.headers)
                return
            data = data if fault.wrong is None else fault.wrong
            asked = self.headers.get("Range", "")
            start = 0
            if asked and not fault.ignores_range:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                if fault.other_range:
                    start -= 1
                self.send_response(HTTPStatus.PARTIAL_CONTENT)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(HTTPStatus.OK)
            body = memoryview(data)[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            end = len(body) if fault.cut_after is None else fault.cut_after
            if fault.hold_after is not None:
                self._send(path, body[: fault.hold_after])
                hub.held.set()
                hub.release.wait(_HOLD_S)
                body, end = body[fault.hold_after :], end - fault.hold_after
            self._send(path, body[:end])

        def _send(self, path: str, body: memoryview) -> None:
            for start in range(0, len(body), _PIECE_BYTES):
                piece = body[start : start + _PIECE_BYTES]
                self.wfile.write(piece)
                hub.sent[path] += len(piece)

        def _json(self, value: Any, headers: Mapping[str, str] | None = None) -> None:
            data = json.dumps(value).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            for name, told in (headers or {}).items():
                self.send_header(name, told)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _error(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            for name, told in (headers or {}).items():
                self.send_header(name, told)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    return Handler
