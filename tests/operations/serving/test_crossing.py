"""What becomes of a request when nobody waits for it any longer, seen from inside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from superagent.operations.serving import pages as bridge
from superagent.operations.serving.pages import Pages
from tests.operations.serving.test_environ import scope

PATIENCE_SECONDS = 30


class Answer:
    def __init__(self, *, blocks: int) -> None:
        self._blocks = blocks
        self.made = 0
        self.is_closed = threading.Event()

    def __call__(self, environ: Any, start: Any) -> Answer:
        start("200 OK", [])
        return self

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self._blocks):
            self.made += 1
            yield b"block"

    def close(self) -> None:
        self.is_closed.set()


async def nobody_leaves() -> Any:
    await asyncio.Event().wait()


async def nobody_takes(message: Any) -> None:
    if message["type"] == "http.response.body":
        await asyncio.Event().wait()


def serve(
    answer: Answer, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> Any:
    return Pages(answer, threads=1)(scope(), receive, send)


def test_a_client_that_takes_nothing_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "TAKE_SECONDS", 0.05)
    answer = Answer(blocks=10)
    asyncio.run(
        serve(answer, nobody_leaves, nobody_takes)
    )  # returns: the server hangs up on what is unfinished
    assert answer.is_closed.wait(PATIENCE_SECONDS)
    assert answer.made == 2  # one on its way, one ready


def test_a_server_that_gives_a_request_up_ends_its_answer() -> None:
    """As uvicorn does after its graceful time-out."""
    answer = Answer(blocks=10)

    async def cancel() -> None:
        task = asyncio.ensure_future(serve(answer, nobody_leaves, nobody_takes))
        while not answer.made:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert answer.is_closed.wait(PATIENCE_SECONDS)
    assert answer.made <= 2


def test_a_server_that_fails_to_receive_has_lost_the_client() -> None:
    answer = Answer(blocks=1_000_000)

    async def receive() -> Any:
        raise ConnectionError

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    asyncio.run(serve(answer, receive, send))
    assert answer.is_closed.wait(PATIENCE_SECONDS)
    assert answer.made < 1_000_000


def test_a_server_that_fails_to_send_is_told_to_nobody_else() -> None:
    answer = Answer(blocks=10)

    async def send(message: Any) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(serve(answer, nobody_leaves, send))
    assert answer.is_closed.wait(PATIENCE_SECONDS)


def test_an_answer_comes_whole_to_who_takes_it() -> None:
    answer, taken = Answer(blocks=3), []

    async def send(message: Any) -> None:
        taken.append(message)

    asyncio.run(serve(answer, nobody_leaves, send))
    assert [message.get("body") for message in taken] == [None, b"block", b"block", b"block", b""]
    assert [message.get("more_body") for message in taken] == [None, True, True, True, False]
    assert answer.is_closed.is_set()
