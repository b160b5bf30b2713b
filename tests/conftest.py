"""The ground that every test stands on: real PostgreSQL and Redis, logged in as app_web, behind row-level
security.

Settings start the servers and give this process a database and a Redis database of its own. A test that asks
for `db` runs in a transaction that is rolled back; one with `django_db(transaction=True)` commits for real,
and the database is cloned anew after it. Rows for a test are made under `tenancy.system("test")` or with the
fixture `system_scope`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.test import Client, TransactionTestCase

from accounts.models import Organization
from superagent.foundation import tenancy
from superagent.local import embedded
from superagent.local.embedded import slots
from tests.fixtures import answers, database
from tests.fixtures.sandbox import sandbox

__all__ = ["sandbox"]  # a fixture

os.environ["LOCAL"] = "true"  # for the processes that tests start, as the Makefile sets it
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # bcrypt's 12 rounds take 0.2 s

Client.request = answers.watch(Client)  # every answer keeps to the schema


def pytest_configure(config: pytest.Config) -> None:
    # Another run may have stopped the servers after the settings found them; it cannot any more.
    if settings.EMBEDDED_DATA_DIR:
        embedded.start(settings.EMBEDDED_DATA_DIR, durable=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests take long come first: one that begins as the last would leave the other cores without work.
    Within a file nothing changes."""
    rank: dict[Path, int] = {}
    for item in items:
        rank[item.path] = min(rank.get(item.path, 2), _rank(item))
    items.sort(key=lambda item: rank[item.path])


def _rank(item: pytest.Item) -> int:
    """0 for whole systems, browsers and what is given more time than usual, 1 for what needs the sandbox."""
    used = set(getattr(item, "fixturenames", []))
    if item.get_closest_marker("timeout") or used & {"browser", "system"}:
        return 0
    return 1 if "sandbox" in used else 2


def pytest_unconfigure(config: pytest.Config) -> None:
    if slots.leave(settings.DATA_DIR / "tests") and settings.EMBEDDED_DATA_DIR:
        embedded.stop(settings.EMBEDDED_DATA_DIR)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: object) -> Iterator[None]:
    """Instead of pytest-django's own: the role that runs tests may not create databases."""
    with django_db_blocker.unblock():
        database.create()
    yield
    with django_db_blocker.unblock():
        database.drop()


def _clone_again(test_case: TransactionTestCase) -> None:
    database.reset()


# Django would TRUNCATE every table, which app_web may not, and lose what migrations wrote.
TransactionTestCase._fixture_teardown = _clone_again


@pytest.fixture(autouse=True)
def _fresh_start() -> Iterator[None]:
    """No test inherits a tenant scope or a Redis key from another one."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    with tenancy.isolated():
        yield


@pytest.fixture
def system_scope(db: None) -> Iterator[None]:
    """The whole test sees every row, as jobs do."""
    with tenancy.system("test"):
        yield


@pytest.fixture
def organization(db: None) -> Organization:
    with tenancy.system("test"):
        return Organization.objects.create(name="Acme", email="billing@acme.example")


@pytest.fixture
def other_organization(db: None) -> Organization:
    """For tests that one organization cannot reach another's things."""
    with tenancy.system("test"):
        return Organization.objects.create(name="Globex", email="billing@globex.example")
