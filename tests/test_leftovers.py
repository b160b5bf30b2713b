"""What a test commits is gone before the next one, whatever it was."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from accounts.models import Organization
from superagent.foundation import tenancy
from tests.fixtures import database, leftovers

pytestmark = pytest.mark.django_db(transaction=True)
PERMISSIONS = "SELECT count(*) FROM auth_permission"


def count(statement: str) -> int:
    with psycopg.connect(database.url("owner")) as owner:
        row = owner.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def as_owner(statement: str) -> None:
    with psycopg.connect(database.url("owner")) as owner:
        owner.execute(statement)


@pytest.fixture
def clone() -> leftovers.Clone:
    found = leftovers.Clone.of(connection.settings_dict["NAME"])
    if found is None:
        pytest.skip("this PostgreSQL is not ours: databases are cloned anew")
    return found


def test_rows_are_removed_and_those_of_migrations_stay(clone: leftovers.Clone) -> None:
    permissions = count(PERMISSIONS)
    with tenancy.system("test"):
        Organization.objects.create(name="Acme", email="billing@acme.example")
    assert clone.remove_leftovers()
    connection.close()
    with tenancy.system("test"):
        assert not Organization.objects.exists()
    assert count(PERMISSIONS) == permissions > 0


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE left_behind (id integer)",
        "DROP TABLE metering_hourlylevel",
        "ALTER TABLE accounts_organization DISABLE ROW LEVEL SECURITY",
        "REVOKE SELECT ON accounts_organization FROM app_web",
        "CREATE INDEX left_behind ON accounts_organization (name)",
        "UPDATE django_migrations SET name = name || '!'",
        "DELETE FROM django_migrations",
    ],
)
def test_what_cannot_be_removed_is_noticed(clone: leftovers.Clone, statement: str) -> None:
    as_owner(statement)
    assert not clone.remove_leftovers()


def test_after_a_new_clone_everything_is_as_before(clone: leftovers.Clone) -> None:
    tables = count(leftovers.RELATIONS)
    as_owner("CREATE TABLE left_behind (id integer)")
    database.reset()
    assert count(leftovers.RELATIONS) == tables


def test_a_connection_that_is_left_open_is_cut(clone: leftovers.Clone) -> None:
    with psycopg.connect(database.url()) as left:
        left.execute("SELECT 1")
        assert clone.remove_leftovers()
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")
