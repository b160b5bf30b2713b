"""The bridge from ASGI to WSGI: each request is one run of a WSGI application, with one hop to a thread and back.

Here, in the event loop, the body is read (bodies.py), the environ built (environ.py), and the response sent as fast as
the client reads it. Everything else runs in a thread (crossing.py, answers.py).
"""

from __future__ import annotations

import asyncio
from typing import IO

import structlog

from superagent.operations.serving import bodies
from superagent.operations.serving.answers import BLOCK_BYTES, Part, WsgiApplication
from superagent.operations.serving.asgi import Receive, Scope, Send
from superagent.operations.serving.crossing import Crossing
from superagent.operations.serving.environ import Environ, environ_of, may_have_body
from superagent.operations.serving.threads import Threads

log = structlog.get_logger(__name__)

TAKE_SECONDS = 60
"""How long a client may take nothing of an answer that comes in blocks. Of one that is passed on, it holds a thread all
the while; of a file it does not."""

_FAILED = b"Internal Server Error"


class BrokenAnswer(Exception):
    """The application failed after its response had begun."""


class Pages:
    """An ASGI application for `http` scopes. What the WSGI application does not catch is answered with 500."""

    def __init__(self, application: WsgiApplication, *, threads: int) -> None:
        self._application = application
        self._threads = Threads(threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = environ_of(scope)
        try:
            await _add_body(environ, receive)
        except bodies.ClientGone:
            return
        crossing = Crossing(self._application, environ, self._threads)
        is_served_at_once = self._threads.submit(crossing)
        try:
            if not is_served_at_once:
                crossing.watch(receive)
            await _deliver(crossing, receive, send)
        except TimeoutError:
            log.info(
                "answer_not_taken", path=environ["PATH_INFO"]
            )  # the server hangs up on what is unfinished
        finally:
            crossing.leave()

    def close(self) -> None:
        self._threads.close()


async def _add_body(environ: Environ, receive: Receive) -> None:
    """Raises ClientGone. With the whole body at hand its length is known, however it was sent."""
    if may_have_body(environ):
        environ["wsgi.input"], length = await bodies.read(receive, announced=environ.get("CONTENT_LENGTH"))
        if length or "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            environ["CONTENT_LENGTH"] = str(length)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    else:
        environ["wsgi.input"] = bodies.empty()


async def _deliver(crossing: Crossing, receive: Receive, send: Send) -> None:
    part = await crossing.arrival
    if isinstance(part, BaseException):
        log.error("page_failed", exc_info=part)
        part = _failure()
    while part is not None and not part.is_last:
        crossing.watch(receive)
        await _send_in_time(part, send)
        part = await crossing.next_arrival()
        if isinstance(part, BaseException):
            # Only a broken connection tells the client that something is missing.
            raise BrokenAnswer from part
    if part is not None and part.rest is not None:
        crossing.watch(receive)
        await _send_file(part, part.rest, crossing, send)
    elif part is not None:
        await _send(part, send)


async def _send_file(part: Part, file: IO[bytes], crossing: Crossing, send: Send) -> None:
    """Send block by block, as fast as the client reads; the thread is free already."""
    with file:
        while not crossing.is_left and (block := await asyncio.to_thread(file.read, BLOCK_BYTES)):
            await _send_in_time(Part(part.start, block, is_last=False), send)
            part = part._replace(start=None)
    if not crossing.is_left:
        await _send(part, send)


async def _send_in_time(part: Part, send: Send) -> None:
    async with asyncio.timeout(TAKE_SECONDS):
        await _send(part, send)


async def _send(part: Part, send: Send) -> None:
    if part.start is not None:
        await send(part.start)
    await send({"type": "http.response.body", "body": part.body, "more_body": not part.is_last})


def _failure() -> Part:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_FAILED))]
    return Part({"type": "http.response.start", "status": 500, "headers": headers}, _FAILED, is_last=True)
