"""The running system: PostgreSQL, Redis, web, worker with beat, and sandbox of its own on free ports, and a browser.

Nothing is patched, and the database is made by the real migrations. Journeys meet the system as people and programs
do: by pages, by the API, by mail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from superagent.celery import QUEUES
from superagent.local import embedded
from superagent.local.embedded.host import free_port
from tests.fixtures import installations, loopback

ROOT = Path(__file__).resolve().parents[2]
# For each step, and for a whole journey: only what hangs takes longer. A journey drives a browser, five processes and a
# database, and the machine may have other things to do.
PATIENCE_SECONDS = 90
LONGEST_JOURNEY_SECONDS = 900
COMMANDS = """
import json, sys, django
from django.core.management import call_command
django.setup()
for arguments in json.loads(sys.argv[1]):
    call_command(*arguments)
"""
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONGEST_JOURNEY_SECONDS))


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


def eventually(check: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS, every: float = 0.1) -> Any:
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
    """One installation, with everything it keeps under `data_dir`."""

    data_dir: Path
    services: embedded.Services
    port: int = field(default_factory=free_port)
    sandbox_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return (
            inherited
            | {
                "DEBUG": "true",
                "DATABASE_URL": self.services.database_url,
                "DATABASE_OWNER_URL": self.services.database_owner_url,
                "REDIS_URL": self.services.redis_url,
                "PORT": str(self.port),
                "SANDBOX_PORT": str(self.sandbox_port),
                "PUBLIC_URL": self.url,
                "SANDBOX_URL": self.sandbox_url,
                "DATA_DIR": str(self.data_dir),
                "SANDBOX_ENGINE_SECONDS": "0.1",
                "SANDBOX_WEBHOOK_RETRY_SECONDS": "0.2",
            }
            | self.settings
        )

    def commands(self) -> dict[str, list[str]]:
        celery = ["celery", "-A", "superagent.celery"]
        sandbox = ["superagent.sandbox", "--port", str(self.sandbox_port), "--data-dir", str(self.data_dir)]
        web = ["uvicorn", "superagent.asgi:application", "--port", str(self.port), "--workers", "2"]
        worker = [
            *celery,
            "worker",
            "--concurrency",
            "2",
            "--queues",
            ",".join(QUEUES),
            "--loglevel",
            "warning",
        ]
        return {
            "sandbox": sandbox,
            "web": [*web, "--no-access-log", "--log-level", "warning"],
            "worker": [*worker, "--without-gossip", "--without-mingle", "--beat"],
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

    def manage(self, *arguments: str, **environment: str) -> str:
        return self._run(["manage.py", *arguments, "--skip-checks"], environment)

    def manage_all(self, *commands: Sequence[str]) -> str:
        """What management commands print, one after the other in one process: its start takes longer than they do."""
        return self._run(["-c", COMMANDS, json.dumps(commands)], {})

    def _run(self, program: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, *program],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_JOURNEY_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mails(self, to: str) -> list[dict[str, str]]:
        answer = loopback.get(f"{self.sandbox_url}/_sandbox/mail.json", params={"to": to})
        mails: list[dict[str, str]] = answer.raise_for_status().json()
        return mails

    def mail(self, *, to: str, subject: str) -> dict[str, str]:
        """The newest mail whose subject contains `subject`, waited for."""
        found: dict[str, str] = eventually(
            lambda: next((m for m in self.mails(to) if subject.lower() in m["subject"].lower()), None)
        )
        return found

    def link_in(self, mail: dict[str, str]) -> str:
        match = re.search(re.escape(self.url) + r"[^\s\"<>]+", mail["text"])
        assert match, mail["text"]
        return match.group(0)

    def confirm_address(self, email: str, password: str) -> None:
        """What a person does who opens the mail of the sign-up in a browser where nobody is logged in."""
        link = self.link_in(self.mail(to=email, subject="confirm"))
        with loopback.Client(follow_redirects=True) as person:
            page = person.get(link)
            proof = {"csrfmiddlewaretoken": person.cookies["csrftoken"], "password": password}
            answer = person.post(link, data=proof, headers={"Referer": link})
            assert page.status_code == answer.status_code == 200

    def api(self, credential: str | None = None, **headers: str) -> httpx.Client:
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        return loopback.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=PATIENCE_SECONDS)


@contextmanager
def running_system(**environment: str) -> Iterator[System]:
    """A whole installation, with settings of its own, for as long as the block runs."""
    folder = settings.DATA_DIR / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    data_dir = Path(tempfile.mkdtemp(prefix="system-", dir=folder))
    running = System(data_dir, installations.install(data_dir), settings=environment)
    try:
        if environment.get("DEBUG") == "false":
            # Before the web process starts, which reads once which files there are.
            running.manage("collectstatic", "--no-input")
        running.start("sandbox")
        running.start("web")
        for url in (f"{running.sandbox_url}/health", f"{running.url}/health/live"):
            eventually(lambda url=url: _answers(url))
        running.manage_all(["sync_schedule"], ["sync_catalog"])
        running.start("worker")
        yield running
    finally:
        running.stop()
        embedded.stop(data_dir)
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    with running_system() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not kept for longer: Playwright's event loop would forbid database calls in other modules' tests."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, system: System) -> Iterator[Page]:
    with window_of(browser, system) as window:
        yield window


@contextmanager
def window_of(browser: Browser, system: System) -> Iterator[Page]:
    """A desktop window of a new visitor; fails on errors of scripts and on what the CSP refused."""
    context = browser.new_context(base_url=system.url, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    window = context.new_page()
    problems: list[str] = []
    window.on("pageerror", lambda error: problems.append(str(error)))
    window.on("console", lambda said: problems.append(said.text) if _is_our_error(said, system.url) else None)
    yield window
    context.close()
    assert not problems, problems


def _is_our_error(said: ConsoleMessage, url: str) -> bool:
    """Stripe's page answers a declined card with 402, which Chromium reports as an error of that page."""
    return said.type == "error" and said.location["url"].startswith(url)


def _answers(url: str) -> bool:
    try:
        return loopback.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
