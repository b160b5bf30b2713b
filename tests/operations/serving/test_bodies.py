"""Bodies are read whole: short ones in memory, long ones on disk, too long ones not at all."""

from __future__ import annotations

import asyncio
import io
from typing import IO, Any

import pytest
from django.conf import settings

from superagent.operations.serving import bodies

BLOCK = b"x" * 65_536


def read(
    *messages: dict[str, Any], announced: str | None = None
) -> tuple[IO[bytes] | bodies.Unread, int, int]:
    """The body, its length, and how many messages were left unread."""
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    body, length = asyncio.run(bodies.read(receive, announced=announced))
    return body, length, len(waiting)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_parts_are_put_together() -> None:
    body, length, _ = read(part(b"12", more=True), part(b"3", more=True), part(b""))
    assert (body.read(), length) == (b"123", 3)
    assert isinstance(body, io.BytesIO)


def test_a_long_body_is_on_disk_and_whole() -> None:
    count = bodies.MEMORY_BYTES // len(BLOCK) + 2
    body, length, _ = read(*(part(BLOCK, more=True) for _ in range(count)), part(b"end"))
    assert body.fileno() > 0
    assert (body.read(), length) == (BLOCK * count + b"end", count * len(BLOCK) + 3)


def test_a_client_that_leaves_is_told() -> None:
    with pytest.raises(bodies.ClientGone):
        read(part(b"1", more=True), {"type": "http.disconnect"})


@pytest.mark.parametrize("announced", [str(bodies.MOST_BYTES + 1), "9" * 5000])
def test_what_is_announced_as_too_long_is_not_asked_for(announced: str) -> None:
    body, length, left = read(part(b"1"), announced=announced)
    assert (length, left) == (bodies.MOST_BYTES + 1, 1)
    assert_unreadable(body)


def test_what_grows_too_long_is_not_read_on() -> None:
    count = bodies.MOST_BYTES // len(BLOCK)
    body, length, left = read(*(part(BLOCK, more=True) for _ in range(count + 10)))
    assert (length, left) == (bodies.MOST_BYTES + len(BLOCK), 9)
    assert_unreadable(body)


@pytest.mark.parametrize("announced", ["", "-1", "1.5", "\u0664"])
def test_a_length_that_is_none_decides_nothing(announced: str) -> None:
    assert read(part(b"123"), announced=announced)[1] == 3


def test_django_refuses_by_length_before_a_body_is_too_long_for_us() -> None:
    """So that callers see the product's own answer, and no error of reading."""
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE < bodies.MOST_BYTES


def assert_unreadable(body: IO[bytes] | bodies.Unread) -> None:
    for reading in (body.read, body.readline, lambda: body.read(10), lambda: list(body)):
        with pytest.raises(OSError, match="was not read"):
            reading()
