"""The response of a WSGI application (PEP 3333), as the parts in which it is sent to the client. Runs in a thread.

A response that is whole already is one part, so that one message to the event loop ends the request. So is one that
announces its length, past `GATHERED_BYTES` as a file: a client that reads slowly, or never, holds no thread. Others are
passed on block by block, as the application makes them.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import IO, Any, NamedTuple

import structlog

from superagent.operations.serving.asgi import Event
from superagent.operations.serving.environ import Environ

log = structlog.get_logger(__name__)

WsgiApplication = Callable[..., Iterable[bytes]]
Headers = list[tuple[bytes, bytes]]

BLOCK_BYTES = 64 * 1024
"""Of a file; as much as a server buffers before it waits for the client."""

GATHERED_BYTES = 128 * 1024
"""Of an answer that announces its length; what is longer goes to a temporary file."""

_BODILESS = frozenset({204, 205, 304})  # RFC 9110, 15.3.5, 15.3.6 and 15.4.5


class Part(NamedTuple):
    start: Event | None
    """Status and headers, in the first part alone."""
    body: bytes
    is_last: bool
    rest: IO[bytes] | None = None
    """In the last part: what ends the answer, to be read and closed by whoever sends it."""


class FileBlocks:
    """`wsgi.file_wrapper`: a file in blocks that suit the network, whatever size the application asks for."""

    def __init__(self, file: Any, block_bytes: int = BLOCK_BYTES) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(functools.partial(self._file.read, BLOCK_BYTES), b"")

    def close(self) -> None:
        if hasattr(self._file, "close"):
            self._file.close()


def parts(application: WsgiApplication, environ: Environ) -> Generator[Part, None, None]:
    """Run `application` and yield its response.

    Its iterable is closed in any case, before the last part is yielded: by then the request's database connection is
    free for the next request.
    """
    environ["wsgi.file_wrapper"] = FileBlocks
    response = _Response(is_head=environ["REQUEST_METHOD"] == "HEAD")
    blocks = application(environ, response.start)
    body, rest = b"", None
    try:
        if _is_whole(blocks):
            body = b"".join(chain(response.written, blocks))
        elif response.is_bodiless:
            pass  # nobody would see it, so it is not made either
        elif response.length is not None or environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            # HTTP/1.0 knows no chunks (RFC 9112, 6.1), which uvicorn sends all the same: the length is found out first.
            body, rest = _gathered(chain(response.written, blocks), response.length)
        else:
            yield from _passed_on(chain(response.written, blocks), response)
    finally:
        _close(blocks)
    yield response.last(body, rest)


class _Response:
    """The arguments of `start_response`."""

    def __init__(self, *, is_head: bool) -> None:
        self._is_head = is_head
        self._is_sent = False
        self._status: int | None = None
        self._headers: Headers = []
        self.length: int | None = None
        self.written: list[bytes] = []

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """`start_response`. A second call is allowed for an error only, and too late once something was sent."""
        if exc_info is not None and self._is_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._status is not None:
            raise AssertionError("start_response was called twice without exc_info")
        self._status = int(status[:3])
        self._headers = [(_lowered(name), value.strip().encode("latin-1")) for name, value in headers]
        lengths = [value for name, value in self._headers if name == b"content-length"]
        self.length = int(lengths[0]) if lengths else None
        # `write`: goes before the first block of the iterable. Django writes nothing this way.
        return self.written.append

    @property
    def is_bodiless(self) -> bool:
        """Known once the application has called `start_response`."""
        return self._status is not None and (self._is_head or self._status in _BODILESS)

    def part(self, block: bytes) -> Part:
        return Part(None if self._is_sent else self._begin(), block, is_last=False)

    def last(self, body: bytes, rest: IO[bytes] | None) -> Part:
        """Returns the end of the response; `body` or `rest` is the whole of it if nothing was sent before."""
        length = len(body) if rest is None else _length_of(rest)
        if not self._is_sent and self._status not in _BODILESS and (length or not self._is_head):
            self._announce(length)
        part = Part(None if self._is_sent else self._begin(), body, is_last=True, rest=rest)
        return part._replace(body=b"", rest=None) if self.is_bodiless else part

    def _announce(self, length: int) -> None:
        if self.length is None:
            self.length = length
            self._headers.append((b"content-length", b"%d" % length))

    def _begin(self) -> Event:
        if self._status is None:
            raise AssertionError("the application answered without start_response")
        self._is_sent = True
        if self._status in _BODILESS:  # RFC 9110, 8.6: a length would be waited for
            self._headers = [pair for pair in self._headers if pair[0] != b"content-length"]
        return {"type": "http.response.start", "status": self._status, "headers": self._headers}


def _is_whole(blocks: Iterable[bytes]) -> bool:
    """Returns True for a list (PEP 3333, "Buffering and Streaming") and for a response that Django says is not
    streaming.
    """
    return isinstance(blocks, list | tuple) or getattr(blocks, "streaming", None) is False


def _gathered(blocks: Iterable[bytes], announced: int | None) -> tuple[bytes, IO[bytes] | None]:
    """Returns all blocks, as bytes or, past GATHERED_BYTES, as a file at its beginning."""
    file: Any = tempfile.SpooledTemporaryFile(GATHERED_BYTES)  # noqa: SIM115 - closed by whoever sends it
    try:
        for block in blocks:
            file.write(block)
            if announced is not None and file.tell() > announced:
                break  # the server refuses it
    except BaseException:
        file.close()
        raise
    is_long = file.tell() > GATHERED_BYTES
    file.seek(0)
    return (b"", file) if is_long else (file.read(), None)


def _length_of(file: IO[bytes]) -> int:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    return length


def _passed_on(blocks: Iterable[bytes], response: _Response) -> Iterator[Part]:
    for block in blocks:
        if response.is_bodiless:  # known late, of an application that starts its answer with the first block
            return
        if block:
            yield response.part(block)


def _close(blocks: Iterable[bytes]) -> None:
    """Log an error while closing: the response is complete and is sent all the same."""
    try:
        if hasattr(blocks, "close"):
            blocks.close()
    except Exception:
        log.exception("answer_not_closed")


@functools.lru_cache(maxsize=256)
def _lowered(name: str) -> bytes:
    return name.strip().lower().encode("latin-1")
