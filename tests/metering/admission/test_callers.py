"""A key that a process knows: exact under load, and ended by the request after its end."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, Organization
from metering.admission import callers, counters, redis_wire
from metering.admission.charges import Charge
from metering.request_path import charging
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, terms

REQUESTS = "api_requests"


def caller_of(organization: Organization, api: Api) -> callers.Caller:
    assert api.get("usage/meters").status_code == 200  # the counter is made, the key is known
    with tenancy.system("test"):
        key = ApiKey.objects.get(organization=organization)
    return callers.Caller(key_hash=bytes(key.key_hash), organization_id=organization.pk, api_key_id=key.pk)


def obtain(caller: callers.Caller) -> Charge:
    """As a request does: when the counter must ask PostgreSQL, it is the throttle that has it ask."""
    charge = caller.obtain()[1]
    if charge is not None:
        return charge
    with tenancy.system("test"):
        organization = Organization.objects.get(pk=caller.organization_id)
    return charging.charge(
        organization_id=organization.pk, caller=str(uuid4()), organization=lambda: organization
    )


def live(organization: Organization) -> int:
    found = counters.live_used(organization.pk)
    assert found is not None
    return found[1]


@pytest.fixture
def no_limits(settings: object) -> None:
    settings.API_RATE_PER_SECOND = settings.API_RATE_BURST = 1_000_000  # type: ignore[attr-defined]  # pytest-django's
    counters.pack_charge.cache_clear()


def many(threaded: list[callers.Caller], each: int) -> list[str]:
    verdicts: list[str] = []

    def call(caller: callers.Caller) -> None:
        try:
            mine = [obtain(caller).verdict for _ in range(each)]
            verdicts.extend(mine)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call, args=[caller]) for caller in threaded]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts


@pytest.mark.django_db(transaction=True)
def test_a_hard_quota_is_given_out_to_the_last_unit_and_not_beyond(
    organization: Organization, api: Api, no_limits: None
) -> None:
    give(organization, terms(REQUESTS, 1000, hard=True))
    one, other = caller_of(organization, api), caller_of(organization, api)  # as in two processes
    taken = live(organization)
    verdicts = many([one, one, one, other, other, other], 200)
    assert verdicts.count("ok") == 1000 - taken
    assert verdicts.count("quota") == 200 + taken
    assert live(organization) == 1000


@pytest.mark.django_db(transaction=True)
def test_each_request_takes_one_unit_by_one_round_trip(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(organization, terms(REQUESTS, None))
    caller = caller_of(organization, api)
    before = live(organization)
    trips = 0
    send = redis_wire.send

    def counted(*arguments: object, **options: int) -> list[object]:
        nonlocal trips
        trips += 1
        return send(*arguments, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(redis_wire, "send", counted)
    for _ in range(30):
        assert obtain(caller).is_taken
    assert trips == 30
    assert live(organization) == before + 30


@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_is_known_as_such_by_the_next_request(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, None))
    caller = caller_of(organization, api)
    assert b"revoked" not in (caller.obtain()[0] or b"")
    with tenancy.system("test"):
        key = ApiKey.objects.get(organization=organization)
        api_keys.revoke(organization=organization, key_id=key.pk, revoked_by=None, now=timezone.now())
    assert b"revoked" in (caller.obtain()[0] or b"")


@pytest.mark.django_db(transaction=True)
def test_the_rate_limit_is_kept_by_many_threads(
    organization: Organization, api: Api, settings: object
) -> None:
    settings.API_RATE_PER_SECOND, settings.API_RATE_BURST = 1, 100  # type: ignore[attr-defined]  # pytest-django's
    counters.pack_charge.cache_clear()
    give(organization, terms(REQUESTS, None))
    caller = caller_of(organization, api)
    verdicts = many([caller] * 4, 100)
    counters.pack_charge.cache_clear()
    assert verdicts.count("ok") in range(95, 130)  # one more each second
    assert verdicts.count("rate") == 400 - verdicts.count("ok")


@pytest.mark.django_db(transaction=True)
def test_an_unknown_key_has_no_record(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, None))
    caller_of(organization, api)
    nobody = callers.Caller(key_hash=b"x" * 32, organization_id=organization.pk, api_key_id=uuid4())
    assert nobody.obtain()[0] is None
