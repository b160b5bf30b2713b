"""A dump as docs/deployment describes it, restored into another database: the same tables, rows, walls and rights."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from accounts.models import User
from superagent.foundation import tenancy
from superagent.local.embedded import postgres
from tests.fixtures import database
from tests.fixtures.tenants import make_pair

pytestmark = [pytest.mark.verify, pytest.mark.django_db(transaction=True)]
RESTORED = "restored_from_a_dump"
WHAT_MUST_BE_THE_SAME = {
    "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2",
    "walls": "SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY 1",
    "constraints": "SELECT conrelid::regclass::text, conname, contype, convalidated FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "indexes": "SELECT indexrelid::regclass::text, indrelid::regclass::text, indisunique, indisvalid FROM pg_index "
    "WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace) ORDER BY 1",
    "functions": "SELECT proname, prosecdef, proacl::text, prosrc FROM pg_proc "
    "WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 4",
}


def owner(name: str | None = None) -> str:
    address = database.url("owner")
    return address if name is None else address.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
def restored(tmp_path: Path, transactional_db: None) -> Iterator[str]:
    """The address of a database that was restored from a dump of ours, which holds two organizations."""
    make_pair()
    with tenancy.system("test"):
        User.objects.create(email="ada@engines.example")
    dump = tmp_path / "superagent.dump"
    run("pg_dump", "--format=custom", f"--dbname={owner()}", f"--file={dump}")
    with psycopg.connect(owner(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(RESTORED)))
        try:
            run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={owner(RESTORED)}", str(dump))
            yield owner(RESTORED)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(RESTORED)))


def run(program: str, *arguments: str) -> None:
    command = [str(postgres.programs() / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def counts(connection: psycopg.Connection) -> dict[str, int]:
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    count = sql.SQL("SELECT count(*) FROM {}")
    return {name: connection.execute(count.format(sql.Identifier(name))).fetchone()[0] for (name,) in tables}


def test_a_restored_dump_is_the_same_database(restored: str) -> None:
    with psycopg.connect(owner()) as ours, psycopg.connect(restored) as theirs:
        for what, query in WHAT_MUST_BE_THE_SAME.items():
            assert theirs.execute(query).fetchall() == ours.execute(query).fetchall(), what
        assert counts(theirs) == counts(ours)
        assert counts(theirs)["accounts_apikey"] > 0


def test_the_walls_of_a_restored_database_stand(restored: str) -> None:
    as_web = database.url().rsplit("/", 1)[0] + f"/{RESTORED}"
    with psycopg.connect(as_web) as connection:
        assert connection.execute("SELECT count(*) FROM accounts_apikey").fetchone() == (0,)
    with psycopg.connect(restored) as connection:
        assert connection.execute("SELECT count(*) FROM accounts_apikey").fetchone()[0] > 0
