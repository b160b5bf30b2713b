"""Heads without end, under a real server."""

from __future__ import annotations

import pytest

from superagent.operations.serving.heads import MOST_BYTES
from tests.operations.serving.conftest import Served, read_all
from tests.operations.serving.test_pages import CLOSE, body_of

PIECE = b"a" * 4096
CHUNKED = b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /",
        b"GET /?a=",
        b"GET / HTTP/1.1\r\nX-",
        b"GET / HTTP/1.1\r\nX-A: ",
        CHUNKED + b"2;a=",  # an extension of a chunk
        CHUNKED + b"2\r\nab\r\n0\r\nX-A: ",  # a trailer
        b"GET /note HTTP/1.1\r\nHost: a\r\n\r\nGET /",  # after another request
    ],
)
def test_a_head_without_end_is_not_gathered(shared: Served, beginning: bytes) -> None:
    """One connection of this kind took a whole process, for as long as it liked."""
    with shared.connect() as connection:
        connection.sendall(beginning)
        with pytest.raises(ConnectionError):
            for _ in range(32 * 1024 * 1024 // len(PIECE)):  # more than what buffers of the system take
                connection.sendall(PIECE)
    assert shared.exchange(b"GET /note HTTP/1.1\r\n" + CLOSE + b"\r\n").endswith(b"noted")


def test_who_sends_too_long_a_head_is_told(shared: Served) -> None:
    with shared.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-A: ")
        for _ in range(MOST_BYTES // len(PIECE) + 1):
            connection.sendall(PIECE)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"The head of the request is too long.")


def test_a_long_head_in_pieces_is_taken(shared: Served) -> None:
    with shared.connect() as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\n" + CLOSE + b"X-A: ")
        for _ in range(MOST_BYTES // len(PIECE) - 1):
            connection.sendall(PIECE)
        connection.sendall(b"\r\n\r\n")
        assert len(body_of(read_all(connection))["HTTP_X_A"]) == MOST_BYTES - len(PIECE)
