"""Responses that stay open, as an ASGI application of their own.

When the server is told to stop, open streams see their client disconnect at once: their views are cancelled, run their
`finally` (settlement of metered streams) and are awaited before the process ends. Without it uvicorn waits for its
graceful timeout and then leaves the streams unsettled.
"""

from __future__ import annotations

import asyncio

from superagent.operations.serving.asgi import Application, Event, Receive, Scope, Send


class Streams:
    def __init__(self, application: Application) -> None:
        self._application = application
        self._open: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one stream in a task of its own, which is awaited even when the server cancels the request."""
        connection = _Stream(receive, send, self._stopping)
        task = asyncio.create_task(self._serve(connection, scope))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        await asyncio.shield(task)

    def stop(self) -> None:
        self._stopping.set()

    async def close(self, *, timeout_seconds: float) -> None:
        """Stop and wait for what is open."""
        self.stop()
        if self._open:
            await asyncio.wait(self._open, timeout=timeout_seconds)

    async def _serve(self, connection: _Stream, scope: Scope) -> None:
        await self._application(scope, connection.receive, connection.send)
        await connection.close()


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
        """End a response that the view left open, so that the client sees its end instead of a broken connection."""
        if self._is_unfinished and not self._is_gone:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
