"""Host utilities for both servers: system account, processes, ports, packages."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 120
ACCOUNT = "superagent-db"  # PostgreSQL refuses to run as root; root starts it as this system account


class EmbeddedError(RuntimeError):
    """A server could not be started or stopped; the message says which, and where its log is."""


@dataclass(frozen=True)
class Account:
    """The unprivileged account that root starts the servers as."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Change the owner of `path` and its contents to this account."""
        if path.stat().st_uid != self.uid:
            for found in (path, *path.rglob("*")):
                os.chown(found, self.uid, self.gid, follow_symlinks=False)

    def open_way_to(self, path: Path) -> None:
        """Let this account traverse the directories above `path`, without listing them."""
        for parent in path.parents:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH:
                parent.chmod(mode | stat.S_IXOTH)


def account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        made = run(
            ["useradd", "--system", "--no-create-home", "--shell=/usr/sbin/nologin", ACCOUNT], cwd=Path("/")
        )
        try:
            entry = pwd.getpwnam(ACCOUNT)  # ours, or the one that another process made at the same moment
        except KeyError:
            raise EmbeddedError(f"Could not make the system account {ACCOUNT}: {made.stdout}") from None
    return Account(entry.pw_uid, entry.pw_gid)


def run(command: list[str], *, cwd: Path, account: Account | None = None) -> subprocess.CompletedProcess[str]:
    identity: dict[str, Any] = {}
    if account:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    # A daemon keeps its standard output open: a pipe would never end, so it is read from a file.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(  # nosec B603: fixed commands, no shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, check=False, **identity
        )
        output.seek(0)
        done.stdout = output.read()
        return done


def package_directory(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{name} is not installed: use make, or set DATABASE_URL and REDIS_URL.")
    return Path(spec.origin).resolve().parent


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_running(pid: int, part_of_command: str) -> bool:
    """Returns True if `pid` is alive and still this program; after a crash the number may be reused."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and part_of_command in " ".join(process.cmdline())
    except psutil.Error:
        return False


def wait_until(is_so: Callable[[], bool], name: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} runs but does not answer. {log} ends:\n{tail(log)}")
        time.sleep(0.05)


def wait_for_end(pid: int, part_of_command: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while is_running(pid, part_of_command):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Process {pid} ({part_of_command}) does not end.")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def tail(log: Path, lines: int = 20) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
