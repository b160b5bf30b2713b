"""HTTP/1 as uvicorn reads it, with a bound on what is neither a body nor the end of a head.

uvicorn gathers a request line, a header or a trailer for as long as it comes, and copies what it has with each piece:
one connection that sends a header without end fills the memory, and holds the event loop (100 MB: three quarters of a
minute in which the process answers nobody). nginx bounds it; what stands in front of a Procfile may not.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 64 * 1024
"""Of a head that comes in pieces. nginx takes half of it (large_client_header_buffers)."""


class BoundedHttp(HttpToolsProtocol):
    """For uvicorn's option `--http`."""

    _gathered_bytes = 0
    _is_further = False

    def data_received(self, data: bytes) -> None:
        self._is_further = False
        super().data_received(data)
        self._gathered_bytes = 0 if self._is_further else self._gathered_bytes + len(data)
        if self._gathered_bytes > MOST_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        self._is_further = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._is_further = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_further = True
        super().on_message_complete()

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response("The head of the request is too long.")
        else:  # an answer may have begun
            self.transport.close()
