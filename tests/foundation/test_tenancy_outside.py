"""The scope in other processes: a prefork Celery worker, and PgBouncer in transaction mode before PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis
import structlog
from celery.result import EagerResult
from django.conf import settings
from django.db import connection, connections, transaction

from accounts.models import ApiKey
from superagent.foundation import tenancy
from superagent.local.embedded import host
from tests.fixtures import database, worker
from tests.fixtures.tenants import Pair, make_pair, visible

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30


@pytest.fixture
def pair(transactional_db: None) -> Pair:
    return make_pair()


def reports(expected: int) -> list[str]:
    """What the worker's tasks saw, once `expected` of them have reported."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while client.llen(worker.REPORTS) < expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return sorted(line.decode() for line in client.lrange(worker.REPORTS, 0, -1))


class TestTasksInThisProcess:
    def test_called_directly_a_task_runs_in_the_scope_of_its_caller(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            worker.look("here")
        assert reports(1) == ["here:aaa"]

    def test_applied_eagerly_it_runs_in_the_scope_that_its_headers_name(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            result = worker.look.apply(args=["eager"], headers={tenancy.TASK_HEADER: str(pair.a.pk)})
            worker.look.apply(args=["eager without"])
        assert isinstance(result, EagerResult)
        assert reports(2) == ["eager without:", "eager:aaa"]


@pytest.mark.verify
class TestWorker:
    @pytest.fixture
    def running_worker(self, pair: Pair) -> Iterator[None]:
        command = [sys.executable, "-m", "celery", "-A", "superagent.celery", "worker"]
        command += [
            "--include=tests.fixtures.worker",
            "--pool=prefork",
            "--concurrency=2",
            "--loglevel=WARNING",
            "--without-mingle",
        ]
        with subprocess.Popen(command, cwd=ROOT, env=database.process_environment()) as process:
            yield
            process.terminate()
            process.wait(PATIENCE_SECONDS)

    def test_tasks_of_two_tenants_interleaved(self, pair: Pair, running_worker: None) -> None:
        for number in range(60):
            scope, label = (
                (tenancy.tenant(pair.a), "a"),
                (tenancy.tenant(pair.b), "b"),
                (tenancy.isolated(), "none"),
                (tenancy.system("test"), "system"),
            )[number % 4]
            with scope:
                worker.look.delay(label)
        # Sent by the system, a task opens what it needs itself.
        assert Counter(reports(60)) == {"a:aaa": 15, "b:bbb": 15, "none:": 15, "system:": 15}

    def test_retries_keep_the_organization(self, pair: Pair, running_worker: None) -> None:
        with tenancy.tenant(pair.b):
            worker.look_at_last.delay("b")
        assert reports(3) == ["b try 0:bbb", "b try 1:bbb", "b try 2:bbb"]

    def test_a_scope_left_behind_does_not_reach_the_next_task(self, pair: Pair, running_worker: None) -> None:
        for _ in range(10):
            worker.forget_to_clear.delay(str(pair.a.pk))
            worker.look.delay("next")
        found = Counter(line.rsplit(":", 1)[0] if "careless" in line else line for line in reports(20))
        assert found == {"careless:aaa": 10, "next:": 10}

    def test_a_task_logs_the_id_of_the_request_that_caused_it(self, pair: Pair, running_worker: None) -> None:
        structlog.contextvars.clear_contextvars()  # another test's request may have left its id
        with structlog.contextvars.bound_contextvars(request_id="from-the-caller"):
            worker.name_the_request.delay()
        worker.name_the_request.delay()
        assert reports(2) == ["caused by None", "caused by from-the-caller"]

    def test_sent_at_commit_by_a_tenant(self, pair: Pair, running_worker: None) -> None:
        with tenancy.tenant(pair.a), transaction.atomic():
            transaction.on_commit(lambda: worker.look.delay("committed"))
        assert reports(1) == ["committed:aaa"]


@pytest.mark.verify
class TestPgBouncer:
    """Each transaction may run on another server connection, shared with other clients."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """Not pytest's tmp_path, which every pytest that starts closes to other accounts."""
        with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
            yield Path(folder)

    @pytest.fixture
    def pooled(self, pair: Pair, folder: Path) -> Iterator[None]:
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
        if not program:
            pytest.fail(
                "pgbouncer is not installed: `make verify` installs it for root, or apt-get install pgbouncer"
            )
        database_settings = connection.settings_dict
        port = host.free_port()
        users = folder / "users.txt"
        users.write_text(f'"{database_settings["USER"]}" "{database_settings["PASSWORD"]}"\n')
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            "[databases]\n"
            f"* = host={database_settings['HOST']} port={database_settings['PORT']}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\n"
            "pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\n"
            f"logfile = {folder / 'pgbouncer.log'}\n"
        )
        identity = {}
        if os.geteuid() == 0:  # PgBouncer refuses to run as root, too
            account = host.account()
            assert account
            account.open_way_to(configuration)
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.uid, account.gid)
            identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
        direct = database_settings["PORT"]
        with subprocess.Popen([program, str(configuration)], **identity) as process:
            _wait_for(port)
            connections.close_all()
            database_settings |= {"PORT": port, "DISABLE_SERVER_SIDE_CURSORS": True}
            yield
            connections.close_all()
            database_settings |= {"PORT": direct, "DISABLE_SERVER_SIDE_CURSORS": False}
            process.terminate()

    def test_threads(self, pair: Pair, pooled: None) -> None:
        def work(number: int) -> str:
            organization, expected = ((pair.a, "aaa"), (pair.b, "bbb"))[number % 2]
            try:
                found = [visible()]
                with tenancy.tenant(organization):
                    found += [visible(), "".join(key.name for key in ApiKey.objects.iterator(chunk_size=1))]
                    with transaction.atomic():
                        found += [visible(), visible()]
                    with connection.cursor() as cursor:
                        cursor.executemany(
                            "UPDATE accounts_apikey SET last_four = %s", [("1111",), ("2222",)]
                        )
                        found.append(str(cursor.rowcount))
                return "" if found == ["", *[expected] * 4, str(2 * pair.rows)] else f"{number}: {found}"
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as threads:
            assert [wrong for wrong in threads.map(work, range(400)) if wrong] == []

    def test_nothing_is_left_on_server_connections(self, pair: Pair, pooled: None) -> None:
        for scope in (tenancy.tenant(pair.a), tenancy.system("test")):
            with scope:
                visible()
                with transaction.atomic():
                    visible()
        port = connection.settings_dict["PORT"]
        for _ in range(4):
            with psycopg.connect(database.url(), port=port, prepare_threshold=None) as raw:
                found = raw.execute(
                    "SELECT current_user, current_setting('app.organization_id', true)"
                ).fetchone()
                assert found in (("app_web", None), ("app_web", ""))


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while host.port_is_free(port):
        assert time.monotonic() < deadline, "PgBouncer did not start"
        time.sleep(0.05)
