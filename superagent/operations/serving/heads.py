"""HTTP/1 as uvicorn reads it, with bounds on what is unfinished.

uvicorn gathers a request line, a header or a trailer for as long as it comes, and copies what it has with each piece:
one connection that sends a header without end fills the memory, and holds the event loop (100 MB: three quarters of a
minute in which the process answers nobody). And it waits for the rest of a request for ever: a thousand connections
that send nothing use up a process's files. nginx bounds both; what stands in front of a Procfile may not.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 64 * 1024
"""Of a head that comes in pieces. nginx takes half of it (large_client_header_buffers)."""


class BoundedHttp(HttpToolsProtocol):
    """For uvicorn's option `--http`."""

    wait_seconds = 60.0
    """For the next piece of a request, as nginx does (client_header_timeout, client_body_timeout)."""

    _gathered_bytes = 0
    _is_further = False
    _is_awaited = True  # a request that is not whole yet
    _heard_at = 0.0
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard_at = self.loop.time()
        self._watch = self.loop.call_later(self.wait_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        self._is_further = False
        super().data_received(data)
        self._gathered_bytes = 0 if self._is_further else self._gathered_bytes + len(data)
        if self._gathered_bytes > MOST_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        self._is_awaited = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_further = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._is_further = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_further = True
        self._is_awaited = False
        super().on_message_complete()

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response("The head of the request is too long.")
        else:  # an answer may have begun
            self.transport.close()

    def _look(self) -> None:
        """Once in a while, since a timer for each piece would cost more than reading it."""
        left = (
            self._heard_at + self.wait_seconds - self.loop.time() if self._is_awaited else self.wait_seconds
        )
        if left > 0:
            self._watch = self.loop.call_later(left, self._look)
        elif not self.transport.is_closing():
            self.transport.close()
