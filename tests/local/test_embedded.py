"""The embedded PostgreSQL and Redis: found again, side by side, after kill -9, with stale files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from superagent.local import embedded
from superagent.local.embedded import EmbeddedError, host, slots

ROOT = Path(__file__).parents[2]


@pytest.fixture
def new_data_dir() -> Iterator[Callable[[str], Path]]:
    """Makes data directories whose servers are stopped after the test.

    Not in pytest's tmp_path: every pytest that starts closes that to other accounts, and as root the servers have one.
    """
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(Path(folder) / name)
        return made[-1]

    with tempfile.TemporaryDirectory(prefix="embedded-") as folder:
        yield make
        for path in made:
            embedded.stop(path)


@pytest.fixture
def data_dir(new_data_dir: Callable[[str], Path]) -> Path:
    return new_data_dir("data")


def start(data_dir: Path) -> embedded.Services:
    return embedded.start(data_dir, durable=False)


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def redis_pid(data_dir: Path) -> int:
    return int((data_dir / "redis" / "redis.pid").read_text())


def kill(pid: int, command: str) -> None:
    os.kill(pid, signal.SIGKILL)
    host.wait_for_end(pid, command)


def test_starts_and_is_found_again(data_dir: Path) -> None:
    services = start(data_dir)
    pids = postmaster(data_dir), redis_pid(data_dir)
    assert start(data_dir) == services
    assert embedded.urls(data_dir) == services
    assert (postmaster(data_dir), redis_pid(data_dir)) == pids


def test_database_and_roles(data_dir: Path) -> None:
    services = start(data_dir)
    with psycopg.connect(services.database_url) as web:
        assert web.execute("SELECT current_user, current_database()").fetchone() == ("app_web", "superagent")
        assert web.info.server_version >= 180000
        assert web.execute("SHOW max_connections").fetchone() == ("100",)
        web.execute("SET LOCAL ROLE app_system")
        assert web.execute("SELECT current_user").fetchone() == ("app_system",)
    with psycopg.connect(services.database_owner_url) as owner:
        found = owner.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        )
        assert found.fetchone() == ("app_owner",)
    with psycopg.connect(services.database_url) as web, pytest.raises(psycopg.errors.InsufficientPrivilege):
        web.execute("CREATE TABLE public.x (y int)")


def test_data_survives_a_clean_stop_and_urls_stay(data_dir: Path) -> None:
    services = embedded.start(data_dir)
    redis.Redis.from_url(services.redis_url).set("a", "1")
    with psycopg.connect(services.database_owner_url) as owner:
        assert owner.execute("SHOW fsync").fetchone() == ("on",)
        owner.execute("CREATE TABLE kept (a int)")
    embedded.stop(data_dir)
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    embedded.stop(data_dir)  # once more does nothing
    assert embedded.start(data_dir) == services
    assert redis.Redis.from_url(services.redis_url).get("a") == b"1"
    with psycopg.connect(services.database_owner_url) as owner:
        assert owner.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_recovers_from_kill_9_of_both(data_dir: Path) -> None:
    services = embedded.start(data_dir)
    client = redis.Redis.from_url(services.redis_url)
    client.set("a", "1")
    time.sleep(1.1)  # appendfsync everysec
    with psycopg.connect(services.database_owner_url) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 1 AS a")
        owner.commit()
        busy = psycopg.connect(services.database_owner_url)
        busy.execute("SELECT 1")
        kill(postmaster(data_dir), str(data_dir / "postgres"))
        kill(redis_pid(data_dir), "redis-server")
    busy.close()
    assert embedded.start(data_dir) == services
    assert redis.Redis.from_url(services.redis_url).get("a") == b"1"
    with psycopg.connect(services.database_owner_url) as owner:
        assert owner.execute("SELECT a FROM kept").fetchone() == (1,)


def test_one_of_two_is_started_again(data_dir: Path) -> None:
    services = start(data_dir)
    alive = postmaster(data_dir)
    kill(redis_pid(data_dir), "redis-server")
    assert start(data_dir) == services
    assert postmaster(data_dir) == alive


def test_pid_files_that_name_another_living_process(data_dir: Path) -> None:
    """After a crash or a reboot the numbers may belong to programs of somebody else."""
    services = start(data_dir)
    lines = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n")
    embedded.stop(data_dir)
    (data_dir / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))
    (data_dir / "redis" / "redis.pid").write_text(str(os.getpid()))
    assert start(data_dir) == services
    assert os.getpid() not in (postmaster(data_dir), redis_pid(data_dir))


def test_takes_other_ports_when_its_own_are_taken(data_dir: Path) -> None:
    before = start(data_dir)
    embedded.stop(data_dir)
    state = json.loads((data_dir / "services.json").read_text())
    taken = [socket.create_server(("127.0.0.1", state[name])) for name in ("postgres_port", "redis_port")]
    after = start(data_dir)
    assert after.database_url != before.database_url
    assert after.redis_url != before.redis_url
    psycopg.connect(after.database_url).close()
    assert redis.Redis.from_url(after.redis_url).ping()
    for server in taken:
        server.close()


def test_two_directories_side_by_side_and_a_copy_of_one(new_data_dir: Callable[[str], Path]) -> None:
    first, second, copy = (new_data_dir(name) for name in ("first", "second", "copy"))
    services = [start(first), start(second)]
    redis.Redis.from_url(services[0].redis_url).set("a", "1")
    embedded.stop(first)
    shutil.copytree(first, copy)
    services = [start(first), start(second), start(copy)]
    assert len({found.database_url for found in services}) == 3
    assert len({found.redis_url for found in services}) == 3
    assert len({postmaster(path) for path in (first, second, copy)}) == 3
    assert redis.Redis.from_url(services[1].redis_url).get("a") is None


def test_many_processes_start_at_once(data_dir: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from superagent.local import embedded;"
        "print(embedded.start(Path(sys.argv[1]), durable=False).database_url)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(data_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = {process.communicate(timeout=60)[0].strip() for process in started}
    assert answers == {start(data_dir).database_url}


def test_start_that_was_killed_half_way_leaves_nothing_half(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "postgres.new").mkdir()
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18")
    psycopg.connect(start(data_dir).database_url).close()


def test_secrets_are_for_the_owner_only(data_dir: Path) -> None:
    services = start(data_dir)
    for secret in (data_dir / "services.json", data_dir / "redis" / "redis.conf"):
        assert secret.stat().st_mode & 0o077 == 0
    assert not (data_dir / "postgres.password").exists()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(services.redis_url.replace(":", ":x", 2).replace("redis:x", "redis:")).ping()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(services.database_url, password="wrong")
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    for secret in json.loads((data_dir / "services.json").read_text()).values():
        if isinstance(secret, str) and len(secret) > 40 and "/" not in secret:
            assert secret not in commands


def test_says_what_went_wrong(data_dir: Path) -> None:
    start(data_dir)
    embedded.stop(data_dir)
    (data_dir / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedError, match="not compatible"):
        start(data_dir)
    (data_dir / "postgres" / "PG_VERSION").write_text("18\n")


def test_does_not_import_django() -> None:
    program = "import sys, superagent.local.embedded; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_slots_are_numbers_of_living_processes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from superagent.local.embedded import slots;"
        "print(slots.claim(Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    assert slots.claim(tmp_path) == 0
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "1\n"
        assert slots.leave(tmp_path) is False
        other.kill()
        other.wait()
    assert slots.claim(tmp_path) == 0
    assert slots.leave(tmp_path) is True
