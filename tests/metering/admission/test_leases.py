"""Leases: exact under load, and gone within a moment."""

from __future__ import annotations

import threading
import time
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, Organization
from metering.admission import counters, leases, redis_wire
from metering.admission.charges import Charge
from metering.request_path import charging
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, terms

REQUESTS = "api_requests"


def caller_of(organization: Organization, api: Api) -> leases.Caller:
    assert api.get("usage/meters").status_code == 200  # the counter is made, the key is known
    with tenancy.system("test"):
        key = ApiKey.objects.get(organization=organization)
    return leases.Caller(key_hash=bytes(key.key_hash), organization_id=organization.pk, api_key_id=key.pk)


def obtain(caller: leases.Caller) -> Charge:
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


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody calls often enough for the largest leases, on a slow machine too, and these do not run out."""
    monkeypatch.setattr(leases, "BUSY", 0)
    monkeypatch.setattr(leases, "LIFETIME_SECONDS", 60)


def many(callers: list[leases.Caller], each: int) -> list[str]:
    verdicts: list[str] = []

    def call(caller: leases.Caller) -> None:
        try:
            mine = [obtain(caller).verdict for _ in range(each)]
            verdicts.extend(mine)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call, args=[caller]) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts


@pytest.mark.django_db(transaction=True)
def test_a_hard_quota_is_given_out_to_the_last_unit_and_not_beyond(
    organization: Organization, api: Api, no_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "LEASE_RESERVE", 20)
    counters.pack_charge.cache_clear()
    give(organization, terms(REQUESTS, 3000, hard=True))
    one, other = (
        caller_of(organization, api),
        caller_of(organization, api),
    )  # as in two processes; 2 units are gone
    verdicts = many([one, one, one, other, other, other], 400)
    assert verdicts == ["ok"] * 2400
    time.sleep(leases.LIFETIME_SECONDS + 3 * leases.SWEEP_SECONDS)
    leases.sweep()
    assert live(organization) == 2402
    verdicts = many([one, one, other, other], 300)
    assert verdicts.count("ok") == 598
    assert verdicts.count("quota") == 602
    assert live(organization) == 3000


@pytest.mark.django_db(transaction=True)
def test_a_busy_caller_needs_few_round_trips_and_gives_the_rest_back(
    organization: Organization, api: Api, no_limits: None, busy: None, monkeypatch: pytest.MonkeyPatch
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
    for _ in range(330):
        assert obtain(caller).is_taken
    assert trips == 11
    assert live(organization) == before + 11 * leases.LARGE
    caller.give_back(all_of_them=True)
    assert live(organization) == before + 330


@pytest.mark.django_db(transaction=True)
def test_a_slow_caller_has_no_lease(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, None))
    caller = caller_of(organization, api)
    before = live(organization)
    for number in range(1, 30):
        caller.obtain()
        assert live(organization) == before + number


@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_ends_with_the_lease_of_a_busy_caller(
    organization: Organization, api: Api, no_limits: None, busy: None
) -> None:
    """Which is over within a fifth of a second, if it is not used up before."""
    give(organization, terms(REQUESTS, None))
    caller = caller_of(organization, api)
    caller.obtain()
    with tenancy.system("test"):
        key = ApiKey.objects.get(organization=organization)
        api_keys.revoke(organization=organization, key_id=key.pk, revoked_by=None, now=timezone.now())
    stored = [caller.obtain()[0] or b"" for _ in range(leases.LARGE)]
    assert [b"revoked" in each for each in stored] == [False] * (leases.LARGE - 1) + [True]


def test_a_lease_is_over_within_the_second() -> None:
    assert leases.LIFETIME_SECONDS + leases.SWEEP_SECONDS < 0.5


@pytest.mark.django_db(transaction=True)
def test_the_rate_limit_counts_leased_units(organization: Organization, api: Api, settings: object) -> None:
    settings.API_RATE_PER_SECOND, settings.API_RATE_BURST = 1, 300  # type: ignore[attr-defined]  # pytest-django's
    counters.pack_charge.cache_clear()
    give(organization, terms(REQUESTS, None))
    caller = caller_of(organization, api)
    verdicts = many([caller] * 4, 200)
    counters.pack_charge.cache_clear()
    assert verdicts.count("ok") in range(295, 304)
    assert verdicts.count("rate") == 800 - verdicts.count("ok")


@pytest.mark.django_db(transaction=True)
def test_an_unknown_key_has_no_record(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, None))
    caller_of(organization, api)
    new_key(organization)
    nobody = leases.Caller(key_hash=b"x" * 32, organization_id=organization.pk, api_key_id=uuid4())
    assert nobody.obtain()[0] is None
