"""What the tests of this folder serve: a WSGI application for each behaviour of the bridge, and one stream.

It runs in a server's process, in a folder of the test's own. What happened there is told by lines of `log.txt`.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from superagent.operations.serving import StreamsAndPages
from superagent.operations.serving.heads import BoundedHttp

THREADS = 2
BLOCK = b"x" * 65_536
LONG_BYTES = 16 * 1024 * 1024
PATIENCE_SECONDS = 60
LOG = Path("log.txt")
_of_request: contextvars.ContextVar[str] = contextvars.ContextVar("of_request", default="nobody's")

Environ = dict[str, Any]
Start = Callable[..., Any]


def say(line: str) -> None:
    with LOG.open("a") as file:
        file.write(f"{line}\n")


class Answer:
    """An iterable whose `close` is told."""

    def __init__(self, name: str, blocks: Iterator[bytes]) -> None:
        self._name = name
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        say(f"begun {self._name}")
        yield from self._blocks

    def close(self) -> None:
        say(f"closed {self._name}")


def echo(environ: Environ, start: Start) -> list[bytes]:
    body = environ["wsgi.input"].read()
    told = {name: value for name, value in environ.items() if isinstance(value, str)} | {
        "body": hashlib.sha256(body).hexdigest(),
        "length": len(body),
        "in_memory": isinstance(environ["wsgi.input"], io.BytesIO),
    }
    start("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [json.dumps(told).encode()]


def note(environ: Environ, start: Start) -> list[bytes]:
    say(f"ran {environ['QUERY_STRING']}")
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"noted"]


def hold(environ: Environ, start: Start) -> list[bytes]:
    """Holds its thread until the test writes the file that is named."""
    say("holds")
    wait_for_file(environ["QUERY_STRING"])
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"held", b" and let go"]


def wait_for_file(name: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not Path(name).exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def fail(environ: Environ, start: Start) -> list[bytes]:
    raise {"exit": SystemExit, "": LookupError}[environ["QUERY_STRING"]]("of the test")


def fail_late(environ: Environ, start: Start) -> Answer:
    def blocks() -> Iterator[bytes]:
        yield b"begun"
        raise LookupError("of the test")

    start("200 OK", [("Content-Type", "text/plain")])
    return Answer("fail-late", blocks())


def endless(environ: Environ, start: Start) -> Answer:
    def blocks() -> Iterator[bytes]:
        while True:
            say("block")
            yield BLOCK

    start("200 OK", [("Content-Type", "application/octet-stream")])
    return Answer("endless", blocks())


def two_steps(environ: Environ, start: Start) -> Answer:
    """The second block waits for a file."""

    def blocks() -> Iterator[bytes]:
        yield b"one "
        wait_for_file(environ["QUERY_STRING"])
        yield b"two"

    start("200 OK", [("Content-Type", "text/plain")])
    return Answer("two-steps", blocks())


def file(environ: Environ, start: Start) -> Any:
    content = io.BytesIO(bytes(range(256)) * 4096)  # 1 MiB
    start("200 OK", [("Content-Length", str(4096 * 256))])
    return environ["wsgi.file_wrapper"](content, 100)


def long_file(environ: Environ, start: Start) -> Any:
    """Longer than what buffers of the system hold."""
    content = io.BytesIO(bytes(LONG_BYTES))
    say("made long file")
    start("200 OK", [("Content-Length", str(LONG_BYTES))])
    return environ["wsgi.file_wrapper"](content)


def written(environ: Environ, start: Start) -> list[bytes]:
    write = start("200 OK", [("Content-Type", "text/plain")])
    write(b"written, ")
    return [b"then answered"]


def context(environ: Environ, start: Start) -> Answer:
    before = _of_request.get()
    _of_request.set(environ["QUERY_STRING"])

    def blocks() -> Iterator[bytes]:
        yield f"{before} {_of_request.get()} ".encode()
        yield _of_request.get().encode()

    start("200 OK", [("Content-Type", "text/plain")])
    return Answer("context", blocks())


def not_modified(environ: Environ, start: Start) -> list[bytes]:
    start("304 Not Modified", [("ETag", '"1"'), ("Content-Length", "5")])
    return [b"never"]


PAGES = {
    "/echo": echo,
    "/note": note,
    "/hold": hold,
    "/fail": fail,
    "/fail-late": fail_late,
    "/endless": endless,
    "/two-steps": two_steps,
    "/file": file,
    "/long-file": long_file,
    "/written": written,
    "/context": context,
    "/not-modified": not_modified,
}


def pages(environ: Environ, start: Start) -> Any:
    return PAGES.get(environ["PATH_INFO"], echo)(environ, start)


async def streams(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    gone = asyncio.ensure_future(receive())
    try:
        while not gone.done():
            await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
            await asyncio.sleep(0.05)
    finally:
        await asyncio.sleep(0.3)  # settlement takes a moment
        say("settled")


class ImpatientHttp(BoundedHttp):
    wait_seconds = 2.0


application = StreamsAndPages(
    streams=streams,
    pages=pages,
    stream_paths=frozenset({"/stream"}),
    threads=THREADS,
    at_stop=lambda: say("stopped"),
)
