"""The entry that serves pages and streams on one port, under a real uvicorn."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

PATIENCE_SECONDS = 60
APPLICATION = textwrap.dedent(
    """
    import asyncio, pathlib, sys
    from superagent.operations.serving import StreamsAndPages

    async def streams(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        gone = asyncio.ensure_future(receive())
        try:
            while not gone.done():
                await send({"type": "http.response.body", "body": b"tick\\n", "more_body": True})
                await asyncio.sleep(0.05)
        finally:
            await asyncio.sleep(0.3)  # settlement takes a moment
            with open("settled.txt", "a") as file:
                file.write("settled\\n")

    def pages(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [repr(sorted(name for name in environ if name.startswith("HTTP_X_"))).encode()]

    application = StreamsAndPages(streams=streams, pages=pages, stream_paths=frozenset({"/stream"}), threads=2)
    """
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    (tmp_path / "served.py").write_text(APPLICATION)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "served:application",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root}:{tmp_path}"}
    # Twice our patience: a stream that waited for the server's own time-out would be noticed.
    command += ["--timeout-graceful-shutdown", str(2 * PATIENCE_SECONDS)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(url)
            yield url, process
        finally:
            process.kill()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server does not answer")


def test_headers_with_an_underscore_cannot_pose_as_proxy_headers(
    server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, _ = server
    answer = httpx.get(url, headers={"X_Forwarded_Proto": "https", "X-Real": "1"})
    assert answer.text == "['HTTP_X_REAL']"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_open_streams_are_ended_and_settled_when_the_server_stops(
    server: tuple[str, subprocess.Popen[bytes]], tmp_path: Path, number: signal.Signals
) -> None:
    url, process = server
    with httpx.stream("GET", f"{url}/stream") as first, httpx.stream("GET", f"{url}/stream") as second:
        texts = [first.iter_text(), second.iter_text()]
        for text in texts:
            next(text)
        asked = time.monotonic()
        process.send_signal(number)
        for text in texts:
            list(text)  # ends without an error: the answer is complete
    process.wait(PATIENCE_SECONDS)
    assert time.monotonic() - asked < PATIENCE_SECONDS
    assert (tmp_path / "settled.txt").read_text() == "settled\n" * 2


def test_a_departed_client_ends_its_stream(
    server: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    url, _ = server
    with httpx.stream("GET", f"{url}/stream") as answer:
        next(answer.iter_text())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (tmp_path / "settled.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "settled.txt").read_text() == "settled\n"
