"""A metered request, from the key to the row in PostgreSQL."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from accounts.models import Organization
from metering.admission import counters, redis_wire
from metering.models import RequestRecord, RequestRollup, UsageRollup
from metering.request_path import shipping
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, quota_of, terms

REQUESTS = "api_requests"


def records() -> list[RequestRecord]:
    with tenancy.system("test"):
        return list(RequestRecord.objects.order_by("id"))


@pytest.mark.django_db(transaction=True)
def test_a_request_becomes_one_row_with_its_facts(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, 1000, hard=True))
    response = api.post("usage/events", {"event_id": "1", "meter": "ai_tokens"})
    assert response.status_code == 200, response.content
    assert shipping.ship_all() == 1
    assert shipping.ship_all() == 0
    [row] = records()
    assert row.organization_id == organization.pk
    assert row.request_id == response.headers["X-Request-Id"]
    assert (row.method, row.endpoint, row.path) == ("POST", "/api/v1/usage/events", "/api/v1/usage/events")
    assert (row.status, row.is_counted) == (200, True)
    assert row.api_key_id is not None
    assert row.request_bytes == len('{"event_id": "1", "meter": "ai_tokens"}')
    assert row.response_bytes == len(response.content)
    assert row.duration_us > 0
    assert quota_of(organization, REQUESTS).used == 1
    with tenancy.system("test"):
        rollup = RequestRollup.objects.get()
        assert (rollup.count, rollup.counted, sum(rollup.histogram)) == (1, 1, 1)
        assert UsageRollup.objects.get(meter__slug=REQUESTS).quantity == 1


@pytest.mark.django_db(transaction=True)
def test_metered_answers_say_what_remains(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, 1000, hard=True))
    first = api.get("usage/meters")
    second = api.get("usage/meters")
    assert first.headers["RateLimit"].startswith('"period";r=999;t=')
    assert second.headers["RateLimit"].startswith('"period";r=998;t=')
    assert second.headers["RateLimit-Policy"].startswith('"period";q=1000;w=')
    [quota] = [each for each in api.get("quotas").json()["data"] if each["meter"] == REQUESTS]
    assert (quota["used"], quota["remaining"], quota["hard"], quota["limit"]) == (2, 998, True, 1000)


@pytest.mark.django_db(transaction=True)
def test_an_exhausted_hard_quota_refuses_and_says_when_it_resets(
    organization: Organization, api: Api
) -> None:
    give(organization, terms(REQUESTS, 2, hard=True))
    assert [api.get("usage/meters").status_code for _ in range(4)] == [200, 200, 429, 429]
    refused = api.get("usage/meters")
    body = refused.json()
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert (body["code"], body["meter"], body["limit"]) == ("quota_exceeded", REQUESTS, 2)
    assert body["resets_at"].endswith("Z")
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["RateLimit"].startswith('"period";r=0;')
    shipping.ship_all()
    assert quota_of(organization, REQUESTS).used == 2
    assert [row.is_counted for row in records()] == [True, True, False, False, False]


@pytest.mark.django_db(transaction=True)
def test_a_soft_quota_goes_on(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, 2, rate="0.05"))
    assert [api.get("usage/meters").status_code for _ in range(4)] == [200] * 4
    shipping.ship_all()
    assert quota_of(organization, REQUESTS).used == 4


@pytest.mark.django_db(transaction=True)
def test_answers_that_do_not_count_give_their_unit_back(organization: Organization) -> None:
    give(organization, terms(REQUESTS, 100, hard=True))
    limited = new_key(organization, "usage:read")
    assert limited.get("usage/meters").status_code == 200
    assert limited.post("usage/events", {}).status_code == 403
    assert limited.get("nothing/here").status_code == 404
    assert counters.live_used(organization.pk)[1] == 1
    shipping.ship_all()
    assert [(row.status, row.is_counted) for row in records()] == [(200, True), (403, False)]
    assert quota_of(organization, REQUESTS).used == 1


@pytest.mark.django_db(transaction=True)
def test_a_bad_request_counts(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, 100, hard=True))
    assert api.post("usage/events", {"meter": "ai_tokens"}).status_code == 400
    assert counters.live_used(organization.pk)[1] == 1


@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_is_refused_and_takes_nothing(organization: Organization, api: Api) -> None:
    from django.utils import timezone

    from accounts import api_keys
    from accounts.models import ApiKey

    give(organization, terms(REQUESTS, 100, hard=True))
    assert api.get("usage/meters").status_code == 200
    assert api.get("usage/meters").status_code == 200
    with tenancy.system("test"):
        key = ApiKey.objects.get()
        api_keys.revoke(organization=organization, key_id=key.pk, revoked_by=None, now=timezone.now())
    assert api.get("usage/meters").status_code == 401
    assert counters.live_used(organization.pk)[1] == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["usage/events", "quotas/check"], ids=["counted", "not counted"])
def test_the_common_case_asks_postgres_nothing(
    organization: Organization, api: Api, django_assert_num_queries: Any, path: str
) -> None:
    give(organization, terms(REQUESTS, 100, hard=True))
    for _ in range(2):
        api.post(path, [])
    with django_assert_num_queries(0):
        assert api.post(path, []).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_too_many_at_once_are_rate_limited(organization: Organization, api: Api, settings: Any) -> None:
    give(organization, terms(REQUESTS, None))
    settings.API_RATE_PER_SECOND, settings.API_RATE_BURST = 1, 3
    counters.pack_charge.cache_clear()
    try:
        answers = [api.get("usage/meters") for _ in range(5)]
    finally:
        counters.pack_charge.cache_clear()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] in ("1", "2")
    shipping.ship_all()
    assert quota_of(organization, REQUESTS).used == 3


@pytest.mark.django_db(transaction=True)
def test_of_many_threads_on_the_last_units_exactly_as_many_are_admitted(
    organization: Organization, api: Api
) -> None:
    give(organization, terms(REQUESTS, 5, hard=True))
    assert api.get("usage/meters").status_code == 200
    statuses: list[int] = []
    barrier = threading.Barrier(12)

    def call() -> None:
        try:
            barrier.wait()
            statuses.append(api.get("usage/meters").status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 4 + [429] * 8
    shipping.ship_all()
    assert quota_of(organization, REQUESTS).used == 5


@pytest.mark.django_db(transaction=True)
def test_redis_emptied_in_the_middle_admits_no_more_and_no_less(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, 10, hard=True))
    statuses = []
    for number in range(14):
        if number in (3, 7):
            redis_wire.send(redis_wire.pack("FLUSHDB"), 1)
        statuses.append(api.get("usage/meters").status_code)
    assert statuses == [200] * 10 + [429] * 4
    shipping.ship_all()
    assert quota_of(organization, REQUESTS).used == 10


@pytest.mark.django_db(transaction=True)
def test_redis_lost_in_the_middle_admits_no_more_and_no_less(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens on the port: really lost, not pretended."""
    import redis

    give(organization, terms(REQUESTS, 10, hard=True))
    statuses = [api.get("usage/meters").status_code for _ in range(4)]
    redis_wire._local.wire = None
    nowhere = redis.ConnectionPool(host="127.0.0.1", port=1, protocol=2)
    with monkeypatch.context() as patch:
        patch.setattr(redis_wire, "_pool", lambda: nowhere)
        statuses += [api.get("usage/meters").status_code for _ in range(3)]
        assert counters.is_lost()
    counters._lost_until = 0.0
    statuses += [api.get("usage/meters").status_code for _ in range(6)]
    assert statuses == [200] * 10 + [429] * 3
    shipping.ship_all()
    assert quota_of(organization, REQUESTS).used == 10
    assert counters.live_used(organization.pk)[1] == 10
