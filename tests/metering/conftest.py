from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Organization
from accounts.roles import Scope
from metering.admission import counters
from metering.models import Quota
from metering.quotas import allowances
from metering.quotas.allowances import Terms
from metering.request_path import spool
from superagent.foundation import tenancy

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)


@dataclass
class Api:
    """A client with an API key."""

    key: str

    def get(self, path: str, **query: Any) -> Any:
        return Client().get(f"/api/v1/{path}", query, headers=self._headers())

    def post(
        self, path: str, body: Any = None, content_type: str = "application/json", **headers: str
    ) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body)
        return Client().post(
            f"/api/v1/{path}", data, content_type=content_type, headers=self._headers() | headers
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(autouse=True)
def _clean_counters() -> Iterator[None]:
    """Each test has an empty spool and trusts Redis."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    spool.writer().close()
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)
    counters._lost_until = 0.0


def terms(
    slug: str, included: int | None, *, hard: bool = False, rate: str = "0", currency: str = "usd"
) -> Terms:
    return Terms(slug, included, hard, Decimal(rate), currency)


def give(organization: Organization, *wanted: Terms, now: datetime | None = None) -> None:
    with tenancy.tenant(organization):
        allowances.apply(organization=organization, terms=wanted, now=now or timezone.now())


def new_key(organization: Organization, *scopes: str) -> Api:
    with tenancy.system("test"):
        _, plain = api_keys.create(
            organization=organization,
            name="test",
            scopes=scopes or [Scope.USAGE_READ, Scope.USAGE_WRITE, Scope.QUOTAS_READ],
            created_by=None,
            expires_at=None,
            now=timezone.now(),
        )
    return Api(plain)


def quota_of(organization: Organization, slug: str) -> Quota:
    """The newest period's."""
    with tenancy.system("test"):
        return Quota.objects.filter(organization=organization, meter__slug=slug).latest("period__start")


@pytest.fixture
def api(organization: Organization) -> Api:
    return new_key(organization)
