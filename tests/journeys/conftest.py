"""The running system: web, worker, beat and sandbox as processes of their own on free ports, and a browser.

Nothing is patched. Journeys meet the system as people and programs do: by pages, by the API, by mail.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from superagent.celery import QUEUES
from tests.fixtures import database

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], Any], *, seconds: float = 30.0, every: float = 0.1) -> Any:
    """The first true answer of `check`; fails with its last answer."""
    end = time.monotonic() + seconds
    answer: Any = None
    while time.monotonic() < end:
        answer = check()
        if answer:
            return answer
        time.sleep(every)
    raise AssertionError(f"it did not happen in {seconds:.0f} s; last answer: {answer!r}")


@dataclass
class System:
    """One installation on this process's database, with its data under `data_dir`."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    sandbox_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in database.process_environment().items() if not k.startswith("PYTEST_")}
        return inherited | {
            "DEBUG": "true",
            "PORT": str(self.port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "PUBLIC_URL": self.url,
            "SANDBOX_URL": self.sandbox_url,
            "DATA_DIR": str(self.data_dir),
            "SANDBOX_ENGINE_SECONDS": "0.1",
            "SANDBOX_WEBHOOK_RETRY_SECONDS": "0.2",
        }

    def commands(self) -> dict[str, list[str]]:
        celery = ["celery", "-A", "superagent.celery"]
        sandbox = ["superagent.sandbox", "--port", str(self.sandbox_port), "--data-dir", str(self.data_dir)]
        web = ["uvicorn", "superagent.asgi:application", "--port", str(self.port), "--workers", "2"]
        worker = [*celery, "worker", "--concurrency", "2", "--queues", ",".join(QUEUES), "--loglevel", "warning"]
        return {
            "sandbox": sandbox,
            "web": [*web, "--no-access-log", "--log-level", "warning"],
            "worker": [*worker, "--without-gossip", "--without-mingle"],
            "beat": [*celery, "beat", "--pidfile=", "--loglevel", "warning"],
        }

    def start(self, name: str) -> None:
        log = open(self.data_dir / f"{name}.log", "ab")  # noqa: SIM115 - the process keeps it
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *self.commands()[name]],
            cwd=ROOT,
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mails(self, to: str) -> list[dict[str, str]]:
        answer = httpx.get(f"{self.sandbox_url}/_sandbox/mail.json", params={"to": to})
        mails: list[dict[str, str]] = answer.raise_for_status().json()
        return mails

    def mail(self, *, to: str, subject: str, seconds: float = 30) -> dict[str, str]:
        """The newest mail whose subject contains `subject`, waited for."""
        found: dict[str, str] = eventually(
            lambda: next((m for m in self.mails(to) if subject.lower() in m["subject"].lower()), None),
            seconds=seconds,
        )
        return found

    def link_in(self, mail: dict[str, str]) -> str:
        match = re.search(re.escape(self.url) + r"[^\s\"<>]+", mail["text"])
        assert match, mail["text"]
        return match.group(0)

    def api(self, credential: str | None = None, **headers: str) -> httpx.Client:
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        return httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=30)


@pytest.fixture(scope="session")
def system(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    with django_db_blocker.unblock():
        database.reset()
    running = System(tmp_path_factory.mktemp("system"))
    try:
        running.start("sandbox")
        eventually(lambda: _answers(f"{running.sandbox_url}/health"))
        running.manage("sync_schedule")
        for name in ("web", "worker", "beat"):
            running.start(name)
        eventually(lambda: _answers(f"{running.url}/health/live"), seconds=60)
        running.manage("sync_catalog")
        yield running
    finally:
        running.stop()
        with django_db_blocker.unblock():
            database.reset()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, system: System) -> Iterator[Page]:
    """A desktop window of a new visitor; the test fails on errors of scripts and on what the CSP refused."""
    context = browser.new_context(base_url=system.url, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(20_000)
    window = context.new_page()
    problems: list[str] = []
    window.on("pageerror", lambda error: problems.append(str(error)))
    window.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield window
    context.close()
    assert not problems, problems


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
