"""The hub: what a repository holds at a commit, and its files over plain HTTP that goes on where it broke.

Imported by `voiced pull` alone, in the command's own process; the daemon and the workers know no hub client.
huggingface_hub brings the session (proxies, certificates, redirects), the login, addresses, and names for refusals.
Two things of its 2.4 are not used: its download gives every try a temporary file and deletes that when it breaks, so
that gigabytes would begin anew; its listing waits without a limit, and asks huggingface.co about other programs.
"""

import contextlib
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

import httpx2
from huggingface_hub import constants, get_session, get_token, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)

import voiced
from voiced.errors import LibraryError
from voiced.models.remote import Entry, Listing, RemoteFile, choose
from voiced.models.spec import HubSource
from voiced_ipc.errors import InvalidRequest, StorageFailed

TRIES = 6
"""Times that one file, or one question, is asked for without a byte coming: with the waits half a minute."""

_MAIN = "main"
"""The branch that every repository of the hub has."""

_TIMEOUT_S = 30.0
"""Silence after which a connection counts as broken."""
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that pass: too many requests, a hub that is overloaded or restarts."""
_READ_BYTES = 1 << 20
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
"""As huggingface_hub checks names, with an owner."""

_MAX_ENTRIES = 100_000
"""Files of one listing; the largest repository of the catalogue has about 2,000."""


class _Broken(Exception):
    """A transfer stopped in a way that may pass."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class _Body(NamedTuple):
    """The content of a file as it comes."""

    start: int
    """Where in the file it begins."""
    chunks: Iterator[bytes]


class Hub:
    """A hub that speaks the protocol of huggingface.co."""

    def __init__(
        self, endpoint: str = "", *, tries: int = TRIES, say: Callable[[str], None] = lambda sentence: None
    ) -> None:
        """Remember where it is; asks nothing yet.

        Args:
            endpoint: Its address; empty = HF_ENDPOINT, else huggingface.co.
            tries: Times that a broken transfer is begun without any progress, at least 1.
            say: Is told in a sentence why we wait.

        Raises:
            InvalidRequest: If the endpoint is no address.
        """
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        address = urlsplit(self.endpoint)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise InvalidRequest(f"{self.endpoint!r} is no address of a hub: use https://HOST")
        self._tries = tries
        self._say = say
        self._token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # what goes wrong is ours to tell, once

    def listing(self, source: HubSource, revision: str = "") -> Listing:
        """Return what a source's patterns name at a revision, with sizes and checksums.

        Args:
            source: The repository and the patterns.
            revision: A branch, a tag or a commit; empty = the main branch.

        Raises:
            LibraryError: If the hub cannot be reached, has no such repository or revision, keeps it closed, or
                answers with what is no listing.
            InvalidRequest: If the repository's name cannot be one.
        """
        if not _REPOSITORY.fullmatch(source.repository):
            raise InvalidRequest(f"{source.repository!r} cannot be a repository: use OWNER/NAME")
        try:
            about, _ = self._asked(source, f"revision/{quote(revision or _MAIN, safe='')}")
            commit = str(about["sha"])
            return choose(source, commit, self._entries(source, commit))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LibraryError(
                f"{self.endpoint} does not answer as a hub does: check HF_ENDPOINT, --endpoint and your proxy"
            ) from error

    def fetch(self, file: RemoteFile, part: Path) -> Iterator[int]:
        """Bring a file into `part`, going on behind the bytes that already lie there; yields how many do.

        When this ends the file is whole, has the hub's checksum, and is on the disk. What was there is read again
        first: the checksum is of all of it.

        Raises:
            LibraryError: If it cannot be fetched, where `part` keeps what came, or if the checksum is another, where
                `part` is deleted.
            StorageFailed: If it cannot be written; what was written is kept.
        """
        digest = _new_digest(file)
        with _opened(part) as out:
            done = 0
            for chunk in iter(lambda: out.read(_READ_BYTES), b""):
                digest.update(chunk)
                done += len(chunk)
                yield done
            failures = 0
            while done < file.size_bytes:
                try:
                    with self._body(file, done) as body:
                        if body.start != done:
                            out.seek(0)
                            out.truncate()
                            digest, done = _new_digest(file), 0
                        for chunk in body.chunks:
                            done += len(chunk)
                            if done > file.size_bytes:
                                break
                            _write(out, chunk, part)
                            digest.update(chunk)
                            failures = 0
                            yield done
                    if done < file.size_bytes:
                        raise _Broken("the connection ended in the middle")
                except (httpx2.TransportError, _Broken) as error:
                    failures += 1
                    self._pause(failures, error, file)
            _sync(out, part)
        if done != file.size_bytes or digest.hexdigest() != file.digest:
            part.unlink()
            raise LibraryError(
                f"{file.path} of {file.repository} does not have the checksum that the hub tells: it was deleted; "
                "run the same `voiced pull` again, and if that fails too, do not trust what stands in between"
            )

    def _entries(self, source: HubSource, commit: str) -> list[Entry]:
        """All files below a source's base, page by page."""
        entries: list[Entry] = []
        place = f"tree/{commit}/{quote(source.base)}".rstrip("/")
        query = "recursive=true"
        while query:
            page, query = self._asked(source, f"{place}?{query}")
            for told in page:
                if told["type"] == "file":
                    lfs = told.get("lfs")
                    size, digest = (lfs["size"], lfs["oid"]) if lfs else (told["size"], told["oid"])
                    entries.append(Entry(str(told["path"]), int(size), str(digest)))
            if len(entries) > _MAX_ENTRIES:
                raise LibraryError(
                    f"{source.repository} lists more than {_MAX_ENTRIES} files: no model has that many"
                )
        return entries

    def _asked(self, source: HubSource, question: str) -> tuple[Any, str]:
        """The answer of the hub's API, and the query of its next page; asked for again while that may help.

        Of the next page's address only the query counts: a mirror may name the hub that it mirrors.
        """
        address = f"{self.endpoint}/api/models/{source.repository}/{question}"
        failures = 0
        while True:
            try:
                response = get_session().get(address, headers=self._headers(), timeout=_TIMEOUT_S)
                hf_raise_for_status(response)
                return response.json(), urlsplit(response.links.get("next", {}).get("url", "")).query
            except HfHubHTTPError as error:
                broken: Exception = self._passing_or_raise(error, source.repository)
            except httpx2.TransportError as error:
                broken = error
            except OfflineModeIsEnabled as error:
                raise _offline() from error
            except (httpx2.TooManyRedirects, httpx2.DecodingError) as error:
                raise LibraryError(f"{address} cannot be read: {error}") from error
            failures += 1
            self._pause(failures, broken, None)

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"voiced/{voiced.__version__}"}
        if self._token:  # the session drops it where a redirect leaves the hub
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    @contextlib.contextmanager
    def _body(self, file: RemoteFile, start: int) -> Iterator[_Body]:
        """The content of a file from `start` on, or from its beginning where the server knows no ranges."""
        address = hf_hub_url(file.repository, file.path, revision=file.commit, endpoint=self.endpoint)
        headers = self._headers()
        headers["Accept-Encoding"] = "identity"  # offsets are those of the file itself
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with get_session().stream("GET", address, headers=headers, timeout=_TIMEOUT_S) as response:
                hf_raise_for_status(response)
                yield _Body(_start_of(response, start), response.iter_bytes())
        except HfHubHTTPError as error:
            raise self._passing_or_raise(error, file.repository) from error
        except OfflineModeIsEnabled as error:
            raise _offline() from error
        except (httpx2.TooManyRedirects, httpx2.DecodingError) as error:
            raise LibraryError(f"{file.path} of {file.repository} cannot be fetched: {error}") from error

    def _passing_or_raise(self, error: HfHubHTTPError, repository: str) -> _Broken:
        """The reason to ask again.

        Raises:
            LibraryError: If asking again would not help.
        """
        status = error.response.status_code
        page = f"{self.endpoint}/{repository}"
        if status in _AGAIN:
            told = error.response.headers.get("Retry-After", "")
            return _Broken(f"the hub answers {status}", float(told) if told.isdigit() else None)
        if isinstance(error, GatedRepoError) or status == 403:
            raise LibraryError(
                f"{repository} is open only to those who accepted its licence: accept it on {page}, make an access "
                "token, and set it as HF_TOKEN"
            ) from error
        if isinstance(error, RevisionNotFoundError):
            raise LibraryError(f"{repository} has no such revision: {page} shows which there are") from error
        if isinstance(error, EntryNotFoundError):
            raise LibraryError(
                f"{repository} has no such file at this revision: see {page}/tree/main"
            ) from error
        if status in (401, 404):
            raise LibraryError(
                f"there is no open repository {repository} at {self.endpoint}; if it is a closed one, accept its "
                f"licence on {page}, make an access token, and set it as HF_TOKEN"
            ) from error
        raise LibraryError(f"the hub refuses {repository} with status {status}; see {page}") from error

    def _pause(self, failures: int, error: Exception, file: RemoteFile | None) -> None:
        """Wait before the next try.

        Raises:
            LibraryError: If there were tries enough.
        """
        why = str(error) or type(error).__name__
        if failures >= self._tries:
            what = f"; what came of {file.path} is kept, and" if file else ":"
            raise LibraryError(
                f"the hub at {self.endpoint} cannot be reached ({why}){what} the same `voiced pull` tries again: check "
                "the network, HTTPS_PROXY and HF_ENDPOINT"
            ) from error
        told_s = error.wait_s if isinstance(error, _Broken) else None
        usual_s = _FIRST_WAIT_S * 2 ** (failures - 1)
        wait_s = min(told_s if told_s is not None else usual_s, _LONGEST_WAIT_S)
        self._say(f"{why}; trying again in {wait_s:g} s")
        time.sleep(wait_s)


def _offline() -> LibraryError:
    return LibraryError(
        "HF_HUB_OFFLINE forbids the network: unset it for `voiced pull`, or use `voiced import`"
    )


def _start_of(response: httpx2.Response, asked: int) -> int:
    """Where in the file the body begins: what was asked for, or 0.

    Raises:
        _Broken: If it begins elsewhere.
    """
    if response.status_code != 206:
        return 0
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    if unit != "bytes" or span.partition("-")[0] != str(asked):
        raise _Broken("the hub sends another part than the one asked for")
    return asked


def _new_digest(file: RemoteFile) -> "hashlib._Hash":
    if len(file.digest) == 64:
        return hashlib.sha256()
    # git's name of a file: what stands before the content is its kind and its length.
    return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)


def _opened(part: Path) -> BinaryIO:
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFailed(f"{part} cannot be written: {error.strerror}") from error
    return os.fdopen(descriptor, "r+b", buffering=0)


def _write(out: BinaryIO, chunk: bytes, part: Path) -> None:
    view = memoryview(chunk)
    try:
        while view:
            view = view[out.write(view) :]
    except OSError as error:
        raise _unwritten(part, error) from error


def _sync(out: BinaryIO, part: Path) -> None:
    try:
        os.fsync(out.fileno())
    except OSError as error:
        raise _unwritten(part, error) from error


def _unwritten(part: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"the download cannot be written to {part.parent}: {error.strerror}; make room there, what came is kept and "
        "the same `voiced pull` goes on"
    )
