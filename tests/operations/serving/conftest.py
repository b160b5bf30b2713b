"""A real server with the application of this folder, spoken to by sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures import loopback
from tests.operations.serving.application import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]


class Served:
    def __init__(self, place: Path, *arguments: str) -> None:
        self.place = place
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        grace = str(2 * PATIENCE_SECONDS)  # what waited for the server's own time-out would be noticed
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "tests.operations.serving.application:application"),
                *("--http", "superagent.operations.serving.heads:BoundedHttp"),
                *("--port", str(self.port), "--log-level", "warning", "--no-access-log"),
                *("--timeout-graceful-shutdown", grace, *arguments),
            ],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.until(self._answers, "the server answers")

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        connection.settimeout(PATIENCE_SECONDS)
        return connection

    def exchange(self, request: bytes) -> bytes:
        """Everything the server says to `request`, until it hangs up."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)

    def lines(self, of: str = "") -> list[str]:
        """Of the log, those that begin with `of`."""
        path = self.place / "log.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(of)]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"never came true: {what}")
            time.sleep(0.02)

    def until_said(self, line: str, times: int = 1) -> None:
        self.until(
            lambda: self.lines().count(line) >= times, f"{times} times {line!r} in {self.lines()[-20:]}"
        )

    def touch(self, name: str) -> None:
        (self.place / name).touch()

    def stream_once(self) -> None:
        """A round trip through the event loop alone."""
        with httpx.stream("GET", f"{self.url}/stream") as answer:
            next(answer.iter_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def _answers(self) -> bool:
        try:
            return loopback.get(f"{self.url}/echo").status_code == 200
        except httpx.TransportError:
            return False


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65_536):
        received += part
    return received


def read_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        part = connection.recv(1)
        assert part, f"the connection ended after {received!r}"
        received += part
    return received


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For tests that leave the server as they found it."""
    yield from _served(tmp_path_factory.mktemp("served"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    yield from _served(tmp_path)


def _served(place: Path) -> Iterator[Served]:
    server = Served(place)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(PATIENCE_SECONDS)
