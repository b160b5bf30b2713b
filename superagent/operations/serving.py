"""One ASGI application out of two: async Django for streams, WSGI Django in threads for everything else.

Django's own ASGI handler would serve all of it at a quarter of the throughput, because each synchronous middleware
and view costs a hop to a thread and back.

When the server is told to stop, open streams see their client disconnect, at once: their views are cancelled, run
their `finally` (settlement of metered streams) and are awaited before the process ends. Without it uvicorn waits for
its graceful time-out and then leaves the streams unsettled.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from a2wsgi import WSGIMiddleware

SHUTDOWN_SECONDS = 20
STOP_SECONDS = 10

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class StreamsAndPages:
    """Sends `stream_paths` to the ASGI application `streams`, everything else to `pages` in `threads` threads."""

    def __init__(
        self,
        *,
        streams: Application,
        pages: Callable[..., Any],
        stream_paths: frozenset[str],
        threads: int,
        at_start: Callable[[], None] | None = None,
        at_stop: Callable[[], None] | None = None,
    ) -> None:
        self._streams = streams
        self._pages: Any = WSGIMiddleware(pages, workers=threads)
        self._stream_paths = stream_paths
        self._open: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._at_start = at_start
        self._at_stop = at_stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": None})
        elif scope["path"] in self._stream_paths:
            await self._stream(_without_ambiguous_headers(scope), receive, send)
        else:
            await self._pages(_without_ambiguous_headers(scope), receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one stream in a task of its own, which is awaited even when the server cancels the request."""
        connection = _Stream(receive, send, self._stopping)
        task = asyncio.create_task(self._serve(connection, scope))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        await asyncio.shield(task)

    async def _serve(self, connection: _Stream, scope: Scope) -> None:
        await self._streams(scope, connection.receive, connection.send)
        await connection.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                _on_stop_signal(self._stopping.set)
                if self._at_start is not None:
                    self._at_start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self._stopping.set()
                if self._open:
                    await asyncio.wait(self._open, timeout=SHUTDOWN_SECONDS)
                if self._at_stop is not None:  # after the last answer, streams included
                    await asyncio.wait(
                        [asyncio.ensure_future(_in_thread(self._at_stop))], timeout=STOP_SECONDS
                    )
                await send({"type": "lifespan.shutdown.complete"})
                return


class _Stream:
    """The connection of one stream; once the server stops, the view sees its client disconnect."""

    def __init__(self, receive: Receive, send: Send, stopping: asyncio.Event) -> None:
        self._receive = receive
        self._send = send
        self._stopping = stopping
        self._is_unfinished = False
        self._is_gone = False

    async def receive(self) -> Event:
        from_client = asyncio.ensure_future(self._receive())
        from_server = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({from_client, from_server}, return_when=asyncio.FIRST_COMPLETED)
            if not from_client.done():
                return {"type": "http.disconnect"}
            message: Event = from_client.result()
            self._is_gone = message["type"] == "http.disconnect"
            return message
        finally:
            from_client.cancel()
            from_server.cancel()

    async def send(self, message: Event) -> None:
        self._is_unfinished = message["type"] == "http.response.start" or bool(message.get("more_body"))
        await self._send(message)

    async def close(self) -> None:
        """End an answer that the view left open, so that the client sees an end and not a broken connection."""
        if self._is_unfinished and not self._is_gone:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})


async def _in_thread(function: Callable[[], None]) -> None:
    """In a thread that does not keep the process alive when it takes too long."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        try:
            function()
        finally:
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="at-stop", daemon=True).start()
    await done.wait()


def _without_ambiguous_headers(scope: Scope) -> Scope:
    """Drop headers with an underscore: WSGI could not tell X_Forwarded_Proto from X-Forwarded-Proto."""
    return {**scope, "headers": [pair for pair in scope["headers"] if b"_" not in pair[0]]}


def _on_stop_signal(callback: Callable[[], None]) -> None:
    """Call `callback` in the event loop at SIGINT or SIGTERM, before the server's own handler.

    The server announces its stop to applications only after its graceful time-out, which is too late for streams.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        earlier = signal.getsignal(number)
        if not callable(earlier):
            continue

        def handle(
            signum: int, frame: FrameType | None, earlier: Callable[[int, FrameType | None], Any] = earlier
        ) -> None:
            loop.call_soon_threadsafe(callback)
            earlier(signum, frame)

        signal.signal(number, handle)
