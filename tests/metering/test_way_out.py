"""What an organization can still do that has used up its request quota: everything that leads out of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organization
from accounts.roles import Scope
from metering.admission import counters
from metering.models import RequestRecord
from metering.request_path import shipping
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, quota_of, terms
from tests.test_bad_input import operations

REQUESTS = "api_requests"
COUNTED = {"usage"}
"""The areas whose calls take a unit; each other one is a way out."""


@pytest.mark.django_db(transaction=True)
def test_only_use_is_refused_when_the_quota_is_used_up(organization: Organization) -> None:
    """Licensing and API A1, operations D9."""
    give(organization, terms(REQUESTS, 1, hard=True))
    api = new_key(organization, *Scope)
    assert api.get("usage/meters").status_code == 200
    assert api.get("usage/meters").status_code == 429
    schema = json.loads(Client().get("/api/schema/", headers={"Accept": "application/json"}).content)
    refused, answered = set(), set()
    for method, path, operation in operations(schema, organization):
        if path.endswith("usage/stream"):
            continue
        answer = call(api, method, path)
        area = path.split("/")[3]
        (refused if code_of(answer) == "quota_exceeded" else answered).add(area)
        assert (code_of(answer) == "quota_exceeded") == (area in COUNTED), operation["operationId"]
    assert refused == COUNTED
    assert {"api-keys", "auth", "billing", "licenses", "orders", "organizations", "quotas"} < answered


def call(api: Api, method: str, path: str) -> Any:
    headers = {"Authorization": f"Bearer {api.key}"}
    return Client(raise_request_exception=False).generic(
        method, path, b"{}", content_type="application/json", headers=headers
    )


def code_of(answer: Any) -> str:
    is_problem = answer.headers.get("Content-Type") == "application/problem+json"
    return str(answer.json()["code"]) if is_problem else ""


@pytest.mark.django_db(transaction=True)
def test_a_stolen_key_is_revoked_by_the_api_though_it_burnt_the_quota(organization: Organization) -> None:
    give(organization, terms(REQUESTS, 1, hard=True))
    stolen, own = new_key(organization, Scope.USAGE_READ), new_key(organization, *Scope)
    assert [stolen.get("usage/meters").status_code for _ in range(2)] == [200, 429]
    found = own.get("api-keys", prefix=stolen.key[:12]).json()["data"]
    assert own.post(f"api-keys/{found[0]['id']}/revoke").status_code == 200
    assert stolen.get("usage/meters").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_calls_of_the_way_out_are_recorded_but_not_counted(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, 10, hard=True))
    for _ in range(3):  # by PostgreSQL, then by the one round trip to Redis
        assert api.get("quotas").status_code == 200
    assert api.get("usage/meters").status_code == 200
    assert counters.live_used(organization.pk)[1] == 1
    shipping.ship_all()
    with tenancy.system("test"):
        rows = list(RequestRecord.objects.order_by("id").values_list("endpoint", "is_counted"))
    assert rows == [("/api/v1/quotas", False)] * 3 + [("/api/v1/usage/meters", True)]
    assert quota_of(organization, REQUESTS).used == 1
