"""`make run`: ready, stopped without a trace, and started again without a second set-up."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from superagent.local import embedded
from tests.fixtures import loopback

ROOT = Path(__file__).resolve().parents[2]
# Patience for a machine that has other things to do; alone, a first start takes half a minute and a second one seconds.
START_SECONDS = 600
STOP_SECONDS = 120
SET_UP = r"set-up: (migrating|sync|seed)"  # the steps that make a first start long


class Run:
    """One `manage.py dev` with ports and data of its own; its lines are read as they come."""

    def __init__(self, data_dir: Path, *, port: int, sandbox_port: int) -> None:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        places = {"PORT": str(port), "SANDBOX_PORT": str(sandbox_port), "DATA_DIR": str(data_dir)}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "dev"],
            cwd=ROOT,
            env={**kept, **places, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._incoming: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._incoming.put(line.rstrip())

    def wait_until_ready(self, seconds: float) -> None:
        self.wait_for_line("ready: ", seconds)

    def wait_for_line(self, pattern: str, seconds: float) -> None:
        """Until a new line matches."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.lines.append(self._incoming.get(timeout=0.2))
            except queue.Empty:
                if self.process.poll() is not None:
                    break
            else:
                if re.match(pattern, self.lines[-1]):
                    return
        pytest.fail(f"no line {pattern}:\n" + "\n".join(self.lines[-40:]))

    def wait_for_lines(self, pattern: str, seconds: float = 5) -> list[str]:
        """All lines that match, given a moment for the last of them."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.lines.append(self._incoming.get(timeout=0.2))
            except queue.Empty:
                continue
        return [line for line in self.lines if re.match(pattern, line)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes_of(data_dir: Path, but: tuple[str, ...] = ()) -> list[psutil.Process]:
    """Every process that carries this DATA_DIR, servers included, whoever its parent is, `but` those of some names."""
    found = []
    for process in psutil.process_iter():
        try:
            carries = process.environ().get("DATA_DIR") == str(data_dir)
            named = str(data_dir) in " ".join(process.cmdline())
            if (carries or named) and not process.name().startswith(but or ("-",)):
                found.append(process)
        except psutil.Error:  # it ended meanwhile, or is not ours to look at
            continue
    return found


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Not under pytest's own folder: each pytest that starts closes that one to the account of PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="superagent-run-") as folder:
        path = Path(folder).resolve() / "data"
        yield path
        for process in _processes_of(path):
            process.kill()


def test_a_taken_port_is_told_at_once(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = Run(data_dir, port=port, sandbox_port=_free_port())
        assert run.process.wait(START_SECONDS) == 1
    assert f"port {port} is taken" in "\n".join(run.wait_for_lines(".*", seconds=1))
    assert f"make run PORT={port + 1}" in "\n".join(run.lines)
    assert _processes_of(data_dir) == []


@pytest.mark.verify
@pytest.mark.timeout(2400)
def test_run_becomes_ready_stops_cleanly_and_starts_again_without_setting_up_anew(data_dir: Path) -> None:
    ports = {"port": _free_port(), "sandbox_port": _free_port()}
    first = Run(data_dir, **ports)
    first.wait_until_ready(START_SECONDS)
    assert first.wait_for_lines(SET_UP, seconds=0)
    assert first.wait_for_lines("ready: ") == [f"ready: http://127.0.0.1:{ports['port']}"]
    assert len(first.wait_for_lines(r"customer: \S+@\S+ \S+$", seconds=0)) == 1
    assert len(first.wait_for_lines(r"staff: \S+@\S+ \S+$", seconds=0)) == 1
    (mail,) = first.wait_for_lines("mail: ", seconds=0)
    assert loopback.get(mail.removeprefix("mail: ")).status_code == 200
    assert loopback.get(f"http://127.0.0.1:{ports['port']}/health/ready").status_code == 200
    _, email, password = first.wait_for_lines("customer: ", seconds=0)[0].split()
    _reads_the_live_stream(f"http://127.0.0.1:{ports['port']}", email, password)
    _stop(first, signal.SIGINT, data_dir)

    second = Run(data_dir, **ports)
    second.wait_until_ready(START_SECONDS)
    assert second.wait_for_lines(SET_UP, seconds=0) == []
    _restarts_what_was_killed(second, data_dir, ports["port"])
    _stop(second, signal.SIGTERM, data_dir)

    third = Run(data_dir, **ports)
    third.wait_until_ready(START_SECONDS)
    third.process.kill()
    # Nobody could stop PostgreSQL and Redis; everything else notices. The next start finds them, and stops them.
    _wait_until_gone(data_dir, but=("postgres", "redis-server"))
    embedded.stop(data_dir)
    _wait_until_gone(data_dir)


def _reads_the_live_stream(url: str, email: str, password: str) -> None:
    """Through every layer of the one port: a login in a thread, then an open stream beside it."""
    tokens = loopback.post(
        f"{url}/api/v1/auth/login", json={"email": email, "password": password}, timeout=STOP_SECONDS
    ).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    with httpx.stream("GET", f"{url}/api/v1/usage/stream", headers=headers, timeout=STOP_SECONDS) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert "event: usage" in (line for line in answer.iter_lines())


def _stop(run: Run, number: signal.Signals, data_dir: Path) -> None:
    run.process.send_signal(number)
    assert run.process.wait(STOP_SECONDS) == 0
    assert _processes_of(data_dir) == []


def _restarts_what_was_killed(run: Run, data_dir: Path, port: int) -> None:
    web = [
        p
        for p in _processes_of(data_dir)
        if f"--port {port}" in " ".join(p.cmdline()) and "supervisor" not in " ".join(p.cmdline())
    ]
    assert web
    for process in web:
        process.kill()
    run.wait_for_line(r".*web: ended with status -9", STOP_SECONDS)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            loopback.get(f"http://127.0.0.1:{port}/health/live").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("the killed web process was not started again")


def _wait_until_gone(data_dir: Path, but: tuple[str, ...] = ()) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    left: list[psutil.Process] = []
    while time.monotonic() < deadline:
        left = _processes_of(data_dir, but)
        if not left:
            return
        time.sleep(0.2)
    pytest.fail(f"left behind: {left}")
