"""Reads a request's body whole before a thread is taken, so that a slow client holds none."""

from __future__ import annotations

import asyncio
import io
import tempfile
from typing import IO, Any

from superagent.operations.serving.asgi import Receive

MEMORY_BYTES = 256 * 1024
"""Of one body; what is longer goes to a temporary file."""

MOST_BYTES = 10 * 1024 * 1024
"""As nginx.conf has it (client_max_body_size). More is not read: Django refuses it by its length, and ends by our own
error where it reads all the same. A file that is uploaded needs more some day; then this is where it is raised."""


class ClientGone(Exception):
    """The client left before its body was complete."""


class Unread(io.RawIOBase):
    """Stands for a body that is too long to be read. Django turns its error into UnreadablePostError."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # which read, readline and iteration end in
        raise OSError(f"a body of more than {MOST_BYTES} bytes was not read")


def empty() -> IO[bytes]:
    return io.BytesIO()


async def read(receive: Receive, *, announced: str | None) -> tuple[IO[bytes] | Unread, int]:
    """Returns the body as a file at its beginning, and its length; `announced` is Content-Length, if there is one.

    Raises ClientGone. A body that is announced as too long is not read, so that a client that waits for `100 Continue`
    (RFC 9110, 10.1.1) is refused without having sent it.
    """
    if announced is not None and announced.isdecimal() and (length := _int(announced)) > MOST_BYTES:
        return Unread(), length
    file: IO[bytes] = io.BytesIO()
    length, is_in_memory = 0, True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            file.close()
            raise ClientGone
        part = message.get("body", b"")
        length += len(part)
        if length > MOST_BYTES:
            file.close()
            return Unread(), length
        if length > MEMORY_BYTES and is_in_memory:
            file, is_in_memory = await asyncio.to_thread(_on_disk, file), False
        if is_in_memory:
            file.write(part)
        else:
            await asyncio.to_thread(file.write, part)
        if not message.get("more_body", False):
            file.seek(0)
            return file, length


def _int(digits: str) -> int:
    return (
        int(digits) if len(digits) < 20 else MOST_BYTES + 1
    )  # thousands of digits take long, or are refused


def _on_disk(so_far: IO[bytes]) -> IO[bytes]:
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the request has been answered
    so_far.seek(0)
    file.write(so_far.read())
    so_far.close()
    return file
