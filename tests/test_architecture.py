"""The rules that hold the house together; CONTRIBUTING.md explains them."""

import base64
import os
import re
import subprocess
import sys
from asyncio import iscoroutinefunction
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from superagent import asgi, celery, schedule
from superagent.foundation import outbox
from superagent.operations import checks

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "3pZ8v!Kq7Rw2nXy5mC9tB4hJ6dF1gL0sA-eUoIpQzTrWxVbNm-4cJ7",
    "LICENSE_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "LICENSE_SIGNING_KEY": base64.b64encode(bytes(range(32, 64))).decode(),
    "PUBLIC_URL": "https://app.superagent.example",
    "ALLOWED_HOSTS": "app.superagent.example",
    "BEHIND_PROXY": "true",
    "DATABASE_URL": "postgres://app_web:secret@database.internal/superagent",
    "DEFAULT_FROM_EMAIL": "Example <hello@example.com>",
    "SECURITY_CONTACT": "security@example.com",
    "SPOOL_DIR": "/var/lib/superagent/spool",
    "DATABASE_OWNER_URL": "postgres://app_owner:secret@database.internal/superagent",
    "REDIS_URL": "rediss://:secret@redis.internal/0",
    "STRIPE_SECRET_KEY": "sk_live_" + "0" * 24,
    "STRIPE_WEBHOOK_SECRET": "whsec_" + "0" * 32,
    "POSTMARK_SERVER_TOKEN": "00000000-0000-0000-0000-000000000000",
}


def test_the_rules_of_structure_hold() -> None:
    """In a process of its own: Python 3.11 may fail to parse where another test has met a RecursionError before."""
    done = subprocess.run(
        [sys.executable, ".ci/structure.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_apps_import_only_from_lower_floors() -> None:
    done = subprocess.run(
        [BIN / "lint-imports", "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_async_view_is_served_as_a_stream() -> None:
    assert set(_async_paths(get_resolver(), "/")) == asgi.STREAM_PATHS


def _async_paths(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _async_paths(pattern, path)
        elif isinstance(pattern, URLPattern) and _is_async(pattern.callback):
            yield path


def _is_async(view: Callable[..., object]) -> bool:
    return iscoroutinefunction(view) or bool(
        getattr(getattr(view, "view_class", None), "view_is_async", False)
    )


def test_scheduled_tasks_exist() -> None:
    celery.app.autodiscover_tasks(force=True)
    assert {entry.task for entry in schedule.ENTRIES} - set(celery.app.tasks) == set()


def test_tasks_use_queues_that_workers_serve() -> None:
    celery.app.autodiscover_tasks(force=True)
    assert set(celery.ROUTES) <= set(celery.app.tasks)
    assert set(celery.ROUTES.values()) <= set(celery.QUEUES)


def test_procfile_serves_every_queue() -> None:
    procfile = (ROOT / "Procfile").read_text()
    for queues in (celery.WORKING, celery.PAYING):
        assert f"--queues {','.join(queues)} " in procfile


def test_nothing_that_calls_stripe_shares_a_worker_with_mail() -> None:
    celery.app.autodiscover_tasks(force=True)
    calling = {topic for topic in outbox._handlers if topic.startswith("billing.")}
    assert calling and {outbox._queues.get(topic) for topic in calling} == {"payments"}
    assert outbox._queues.get("accounts.send_mail", outbox.DEFAULT) in celery.WORKING
    assert not set(celery.WORKING) & set(celery.PAYING)


def test_production_settings_are_clean() -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**kept, **PRODUCTION},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({}, []),
        ({"SECRET_KEY": "insecure-" + PRODUCTION["SECRET_KEY"]}, ["superagent.E001"]),
        ({"IS_SECURE": False}, ["superagent.E002"]),
        ({"ALLOWED_HOSTS": ["127.0.0.1", "localhost"]}, ["superagent.E008"]),
        ({"EMBEDDED_DATA_DIR": ROOT / ".data"}, ["superagent.W001"]),
        ({"STRIPE_USES_SANDBOX": True}, ["superagent.W002"]),
        ({"DEFAULT_FROM_EMAIL": "SuperAgent <hello@superagent.example>"}, ["superagent.W004"]),
        ({"SECURITY_CONTACT": "security@superagent.example"}, ["superagent.W004"]),
        ({"MAIL_USES_SANDBOX": True}, ["superagent.E006"]),
        ({"DATABASE_OWNER_URL": "postgres://app_web@db/superagent"}, ["superagent.E007"]),
        ({"SPOOL_DIR": ROOT / ".data" / "spool"}, ["superagent.W005"]),
        ({"DATABASE_POOL_SIZE": 2, "WEB_THREADS": 8}, ["superagent.E003"]),
    ],
    ids=str,
)
def test_unsafe_production_settings_are_told(
    settings: Settings, changes: dict[str, object], findings: list[str]
) -> None:
    safe = {
        "IS_SECURE": True,
        "PUBLIC_URL": PRODUCTION["PUBLIC_URL"],
        "ALLOWED_HOSTS": [PRODUCTION["ALLOWED_HOSTS"]],
        "SECRET_KEY": PRODUCTION["SECRET_KEY"],
        "EMBEDDED_DATA_DIR": None,
        "STRIPE_USES_SANDBOX": False,
        "DEFAULT_FROM_EMAIL": "Example <hello@example.com>",
        "SECURITY_CONTACT": "security@example.com",
        "MAIL_USES_SANDBOX": False,
        "DATABASE_URL": "postgres://app_web@db/superagent",
        "DATABASE_OWNER_URL": "postgres://app_owner@db/superagent",
        "SPOOL_DIR": Path("/var/lib/superagent/spool"),
        "DATABASE_POOL_SIZE": 12,
        "WEB_THREADS": 8,
    }
    for name, value in {**safe, **changes}.items():
        setattr(settings, name, value)
    found = [*checks.check_production_settings(), *checks.check_secret_key(), *checks.check_pool()]
    assert [finding.id for finding in found] == findings


def test_env_example_explains_every_variable_and_no_other() -> None:
    source = (ROOT / "superagent" / "settings.py").read_text()
    read = set(re.findall(r"""env(?:\.\w+)?\(\s*"([A-Z_]+)\"""", source))
    read |= {f"{provider}_CLIENT_{part}" for provider in ("GOOGLE", "GITHUB") for part in ("ID", "SECRET")}
    explained = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert explained == read
