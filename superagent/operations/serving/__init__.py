"""One ASGI application out of two: async Django for streams, WSGI Django in threads for everything else.

Django's own ASGI handler would serve all of it at a quarter of the throughput, because each synchronous middleware
and view costs a hop to a thread and back. Here a whole request is one hop (docs/decisions/0002-one-port.md):

    asgi       the specification's words
    heads      uvicorn's reading of requests, with bounds on what is unfinished
    pages      the bridge to WSGI: environ and bodies on the way in, threads and a crossing, answers on the way out
    streams    answers that stay open
    lifespan   the server's start and stop
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from superagent.operations.serving import lifespan
from superagent.operations.serving.answers import WsgiApplication
from superagent.operations.serving.asgi import Application, Receive, Scope, Send
from superagent.operations.serving.environ import without_ambiguous_headers
from superagent.operations.serving.pages import Pages
from superagent.operations.serving.streams import Streams

SHUTDOWN_SECONDS = 20
STOP_SECONDS = 10


class StreamsAndPages:
    """Sends `stream_paths` to the ASGI application `streams`, everything else to `pages` in `threads` threads."""

    def __init__(
        self,
        *,
        streams: Application,
        pages: WsgiApplication,
        stream_paths: frozenset[str],
        threads: int,
        at_start: Callable[[], None] | None = None,
        at_stop: Callable[[], None] | None = None,
    ) -> None:
        self._streams = Streams(streams)
        self._pages = Pages(pages, threads=threads)
        self._stream_paths = stream_paths
        self._at_start = at_start
        self._at_stop = at_stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": None})
        elif scope["path"] in self._stream_paths:
            await self._streams(without_ambiguous_headers(scope), receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                lifespan.on_stop_signal(self._streams.stop)
                if self._at_start is not None:
                    self._at_start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _stop(self) -> None:
        """The server has waited for pages; `at_stop` is called after the last response, streams included."""
        await self._streams.close(timeout_seconds=SHUTDOWN_SECONDS)
        self._pages.close()
        if self._at_stop is not None:
            await asyncio.wait(
                [asyncio.ensure_future(lifespan.in_thread(self._at_stop))], timeout=STOP_SECONDS
            )
