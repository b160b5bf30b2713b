"""Requests without end, and such as never come, under a real server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from superagent.operations.serving.heads import MOST_BYTES
from tests.operations.serving.application import PATIENCE_SECONDS
from tests.operations.serving.conftest import Served, read_all, read_until
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


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path, "--http", "tests.operations.serving.application:ImpatientHttp")
    yield server
    server.process.kill()
    server.process.wait(PATIENCE_SECONDS)


def test_who_does_not_go_on_with_a_request_is_hung_up_on(impatient: Served) -> None:
    for beginning in (
        b"",
        b"GET /",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na",
        CHUNKED + b"2\r\na",
    ):
        with impatient.connect() as connection:
            connection.sendall(beginning)
            assert read_all(connection) == b""
    with impatient.connect() as connection:
        connection.sendall(b"GET /note HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_until(connection, b"noted")
        connection.sendall(b"GET /")
        assert read_all(connection) == b""


def test_who_waits_for_an_answer_is_not_hung_up_on(impatient: Served) -> None:
    """However long it takes: the request is whole."""
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(httpx.get, f"{impatient.url}/hold?go", timeout=PATIENCE_SECONDS)
        impatient.until_said("holds")
        with impatient.connect() as silent:  # which is hung up on after the time that `held` waits at least
            assert read_all(silent) == b""
        impatient.touch("go")
        assert held.result().text == "held and let go"
