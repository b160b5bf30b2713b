"""`make run`: a complete installation on this machine, with progress messages, until Ctrl-C."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import honcho.manager
import honcho.process
from django.conf import settings
from django.core.management import get_commands
from django.core.management.base import BaseCommand, CommandError
from honcho.printer import Printer

from superagent.celery import PAYING, WORKING, app
from superagent.local import embedded
from superagent.local.supervisor import GRACE_SECONDS, end_with_parent

HOST = "127.0.0.1"
# In this order, as far as they exist. They may call the sandbox, and must be repeatable.
SEED_COMMANDS = ("sync_schedule", "sync_catalog", "seed_demo")
LOGIN_PREFIXES = ("customer: ", "staff: ")  # lines that seed_demo prints: `customer: EMAIL PASSWORD`
READY_SECONDS = 240
PROGRESS_SECONDS = 5
STREAM_CONNECTIONS = 4  # of the pool, beside one for each thread of a web process


class Command(BaseCommand):
    help = "Set up and start everything on this machine: PostgreSQL, Redis, web, worker, beat, sandbox."
    requires_system_checks: list[str] = []  # a subprocess runs them, with the databases up

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--workers", type=int, default=int(os.environ.get("WEB_CONCURRENCY", "1")), help="web processes"
        )

    def handle(self, *args: object, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _leave)
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        with _only_one(settings.DATA_DIR):
            installation = Installation(settings.DATA_DIR, settings.PORT, settings.SANDBOX_PORT)
            for port, name in ((settings.PORT, "PORT"), (settings.SANDBOX_PORT, "SANDBOX_PORT")):
                _require_free(port, name)
            try:
                installation.start_services()
                installation.migrate()
                status = run_processes(installation, options["workers"])
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                installation.stop_services()
        sys.exit(status)


class Installation:
    """What `make run` sets up: the environment of its processes, the database, the demo's content."""

    def __init__(self, data_dir: Path, port: int, sandbox_port: int) -> None:
        self.data_dir = data_dir
        self.port = port
        self.sandbox_port = sandbox_port
        self.uses_embedded = not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"))
        self.environment = dict(os.environ)
        self.environment.setdefault("DEBUG", "true")
        self.environment.setdefault("ADMIN_SECOND_FACTOR", "false")  # the demo's staff log in by password
        self.environment |= {
            "PORT": str(port),
            "SANDBOX_PORT": str(sandbox_port),
            "DATA_DIR": str(data_dir),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser",  # root, in a container
        }
        self._stamp = data_dir / "set-up.json"

    def start_services(self) -> None:
        if not self.uses_embedded:
            return
        say(f"starting PostgreSQL and Redis under {_short(self.data_dir)}")
        try:
            services = embedded.start(self.data_dir)
        except embedded.EmbeddedError as error:
            raise CommandError(str(error)) from None
        if not os.environ.get("DATABASE_URL"):
            self.environment["DATABASE_URL"] = services.database_url
            self.environment["DATABASE_OWNER_URL"] = services.database_owner_url
        if not os.environ.get("REDIS_URL"):
            self.environment["REDIS_URL"] = services.redis_url

    def stop_services(self) -> None:
        if self.uses_embedded:
            say("stopping PostgreSQL and Redis")
            embedded.stop(self.data_dir)
            say("stopped")

    def migrate(self) -> None:
        """Migrate the database; skipped if nothing changed since the last start on the same data."""
        fingerprint = self._fingerprint("migrations/*.py", "apps.py", "models.py", "models/*.py")
        if self._remembered("migrations") == fingerprint:
            return
        say("migrating the database (about half a minute the first time)")
        self._manage("migrate", marker="Applying ")
        self._remember("migrations", fingerprint)

    def seed(self) -> list[str]:
        """Seed the catalog and the demo. Returns the demo's login lines."""
        fingerprint = self._fingerprint("*.py")
        if self._remembered("seeds") == fingerprint:
            return list(self._remembered("logins") or [])
        commands = get_commands()
        logins: list[str] = []
        for name in SEED_COMMANDS:
            if name in commands:
                say(name.replace("_", " "))
                lines = self._manage(name)
                logins += [line for line in lines if line.startswith(LOGIN_PREFIXES)]
        self._remember("logins", logins)
        self._remember("seeds", fingerprint)
        return logins

    def _manage(self, *arguments: str, marker: str = "") -> list[str]:
        """Run a management command in a process of its own; every few seconds its last line is shown as progress."""
        lines: list[str] = []
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            done = threading.Event()
            threading.Thread(
                target=_show_progress, args=(arguments[0], lines, marker, done), daemon=True
            ).start()
            try:
                lines.extend(line.rstrip() for line in process.stdout)
            except BaseException:
                process.terminate()
                raise
            finally:
                done.set()
        if process.returncode != 0:
            raise CommandError("\n".join([*lines[-40:], f"{arguments[0]} failed; its output is above."]))
        return lines

    def _fingerprint(self, *patterns: str) -> str | None:
        """Returns a digest of the matching files and the cluster's creation; None for an external database."""
        cluster = self.data_dir / "postgres" / "PG_VERSION"
        if not self.uses_embedded or not cluster.exists():
            return None
        digest = hashlib.sha256(str(cluster.stat().st_mtime_ns).encode())
        for folder in ("superagent", "accounts", "metering", "billing", "licensing"):
            for pattern in patterns:
                for path in sorted((settings.BASE_DIR / folder).rglob(pattern)):
                    digest.update(str(path).encode() + path.read_bytes())
        digest.update((settings.BASE_DIR / "constraints.txt").read_bytes())
        return digest.hexdigest()

    def _remembered(self, key: str) -> Any:
        try:
            return json.loads(self._stamp.read_text()).get(key, "")
        except (FileNotFoundError, ValueError):
            return ""

    def _remember(self, key: str, value: Any) -> None:
        try:
            content = json.loads(self._stamp.read_text())
        except (FileNotFoundError, ValueError):
            content = {}
        with open(os.open(self._stamp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({**content, key: value}, file)


def _show_progress(name: str, lines: list[str], marker: str, done: threading.Event) -> None:
    """Print a command's progress every few seconds, so that it does not seem to hang."""
    started = time.monotonic()
    while not done.wait(PROGRESS_SECONDS):
        steps = f"{sum(marker in line for line in lines)} steps done" if marker else "working"
        say(f"{name}: {steps}, {time.monotonic() - started:.0f} s")


def run_processes(installation: Installation, workers: int) -> int:
    """Run web, worker, beat and sandbox until a signal ends them all. Returns the exit status."""
    honcho.manager.KILL_WAIT = GRACE_SECONDS + 5  # each supervisor ends its program within GRACE_SECONDS
    output = Output()
    manager = honcho.manager.Manager(output)
    manager._process_ctor = Reader
    for name, command in _programs(installation, workers).items():
        supervised = [sys.executable, "-m", "superagent.local.supervisor", name, *command]
        environment = dict(installation.environment)
        if name == "web":  # no pool elsewhere: it does not survive the worker's fork
            environment.setdefault("DATABASE_POOL_SIZE", str(settings.WEB_THREADS + STREAM_CONNECTIONS))
        manager.add_process(
            name, "exec " + shlex.join(supervised), env=environment, cwd=str(settings.BASE_DIR)
        )
    _after_start(manager, lambda: _announce(installation, output, manager))
    manager.loop()
    # 130 and 143 are how a stop by Ctrl-C or SIGTERM is told; that is the ordinary end here.
    return 0 if manager.returncode in (130, 143) else int(manager.returncode or 0)


def _programs(installation: Installation, workers: int) -> dict[str, list[str]]:
    uvicorn = [sys.executable, "-m", "uvicorn", "--host", HOST, "--no-access-log", "--log-level", "warning"]
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "superagent.celery"]
    return {
        "sandbox": [*uvicorn, "--port", str(installation.sandbox_port), "superagent.sandbox.app:app"],
        "web": [
            *uvicorn,
            *("--port", str(installation.port), "--workers", str(workers)),
            *("--http", "superagent.operations.serving.heads:BoundedHttp"),
            # No proxy stands before it: X-Forwarded-For is only what a caller claims.
            *("--no-proxy-headers", "--timeout-graceful-shutdown", "5", "superagent.asgi:application"),
        ],
        "worker": [*celery, *_worker(f"dev-{installation.port}", WORKING)],
        "payments": [*celery, *_worker(f"dev-payments-{installation.port}", PAYING)],
        "beat": [*celery, "beat", "--pidfile=", "--loglevel", "warning"],
    }


def _worker(name: str, queues: Sequence[str]) -> list[str]:
    return [
        *("worker", "--concurrency", "2", "-Q", ",".join(queues), "--hostname", f"{name}@%h"),
        *("--without-gossip", "--without-mingle", "--loglevel", "info"),
    ]


class Reader(honcho.process.Process):
    """Reads the output of one program. It ignores signals, so it must not outlive this command."""

    def run(self, *args: Any, **kwargs: Any) -> None:
        end_with_parent(signal.SIGKILL)
        super().run(*args, **kwargs)


class Output(Printer):
    """Honcho's printer, safe to use from two threads."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._lock = threading.Lock()

    def write(self, message: Any) -> None:
        with self._lock:
            super().write(message)

    def line(self, text: str) -> None:
        with self._lock:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


def _after_start(manager: Any, action: Callable[[], None]) -> None:
    """Run `action` in a thread once all processes were forked: a fork must not copy a running thread's locks."""
    start = manager._start

    def start_then_act() -> None:
        start()
        threading.Thread(target=action, daemon=True).start()

    manager._start = start_then_act


def _announce(installation: Installation, output: Output, manager: Any) -> None:
    """Seed, wait until everything answers, and print the closing lines."""
    sandbox = f"http://{HOST}:{installation.sandbox_port}/"
    web = f"http://{HOST}:{installation.port}"
    try:
        _wait_for("sandbox", lambda: _answers(sandbox))
        logins = installation.seed()
        _wait_for("web", lambda: _answers(f"{web}/health/live"))
        _wait_for("worker", lambda: _worker_answers(installation))
    except (CommandError, TimeoutError) as error:
        output.line(f"not ready: {error}")
        manager.returncode = 1
        manager.terminate()
        return
    output.line(f"ready: {web}")
    for login in logins:
        output.line(login)
    if settings.MAIL_USES_SANDBOX:
        output.line(f"mail: {sandbox}_sandbox/mail")


def _wait_for(name: str, is_so: Callable[[], bool]) -> None:
    started = shown = time.monotonic()
    while not is_so():
        if time.monotonic() - started > READY_SECONDS:
            raise TimeoutError(f"{name} does not answer after {READY_SECONDS} s; its messages are above.")
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            say(f"waiting for {name}, {shown - started:.0f} s")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _worker_answers(installation: Installation) -> bool:
    app.conf.update(broker_url=installation.environment["REDIS_URL"])
    replies = app.control.ping(timeout=0.5) or []
    return any(name.startswith(f"dev-{installation.port}@") for reply in replies for name in reply)


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    with open(data_dir / "run.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"`make run` is running on {_short(data_dir)} already. Stop it, or run a second copy beside it: "
                "make run PORT=8001 SANDBOX_PORT=8101 DATA_DIR=.data2"
            ) from None
        yield


def _require_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise CommandError(
                f"port {port} is taken by another program. Choose another one: make run {variable}={port + 1}"
            ) from None


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _leave(*_: object) -> None:
    raise SystemExit(130)


def say(text: str) -> None:
    sys.stdout.write(f"set-up: {text}\n")
    sys.stdout.flush()
