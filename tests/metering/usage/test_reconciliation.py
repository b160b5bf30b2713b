"""Daily: what is counted and billed against requests and events, and every sum that may still change."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts.models import Organization, User
from metering import tasks
from metering.admission import counters
from metering.models import Quota, RequestRollup, UsageEvent, UsageRollup
from metering.quotas import periods
from metering.rating import rating
from metering.request_path import shipping
from metering.usage import reconciliation, rollups, voids
from superagent.foundation import tenancy
from superagent.operations import backlogs
from tests.fixtures.staff import staff_client
from tests.metering.conftest import Api, give, quota_of, terms

TOKENS, REQUESTS = "ai_tokens", "api_requests"


def send(api: Api, event_id: str, quantity: int, **more: object) -> None:
    answer = api.post(
        "usage/events", {"event_id": event_id, "meter": TOKENS, "quantity": quantity, **more}
    ).json()
    assert answer["accepted"] == 1, answer


def prove(now: datetime | None = None) -> int:
    with tenancy.system("test"):
        return reconciliation.reconcile_quotas(now=now or timezone.now(), kept_months=13)


def change(slug: str, **columns: int) -> None:
    with tenancy.system("test"):
        assert Quota.objects.filter(meter__slug=slug, is_closed=False).update(**columns) == 1


def close(organization: Organization) -> Quota:
    """The open period, at its end; its quota of tokens."""
    with tenancy.system("test"):
        quota = Quota.objects.select_related("period").get(
            organization=organization, meter__slug=TOKENS, is_closed=False
        )
        assert periods.close(period=quota.period, now=quota.period.end)
        return Quota.objects.select_related("period").get(pk=quota.pk)


def staff_of_the_house() -> Client:
    with tenancy.system("test"):
        return staff_client(
            User.objects.create_user(
                "staff@example.com", "correct horse battery", full_name="S", is_staff=True, is_superuser=True
            )
        )


def disproved() -> list[tuple[object, int]]:
    with tenancy.system("test"):
        [measure] = [each for each in backlogs.measure_all() if each.queue.name == "quota_disproved"]
        rows = list(reconciliation.disproved().values_list("pk", "difference"))
        assert measure.count == len(rows)
        return rows


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", [TOKENS, REQUESTS])
@pytest.mark.parametrize("wrong", [0, 777])
def test_a_wrong_figure_of_an_open_period_is_repaired(
    organization: Organization, api: Api, slug: str, wrong: int
) -> None:
    """Metering B6: `used` was set to 777 against 20, and billed."""
    give(organization, terms(TOKENS, 10, rate="1"), terms(REQUESTS, 100, hard=True))
    send(api, "a", 13)
    send(api, "b", 7)
    send(api, "taken back", 5)
    assert api.post("usage/events/taken back/void").status_code == 200
    shipping.ship_all()
    right = {TOKENS: 20, REQUESTS: 4}
    assert prove() == 0
    change(slug, used=wrong)
    assert prove() == 1
    assert {each: quota_of(organization, each).used for each in right} == right
    assert prove() == 0
    assert disproved() == []


@pytest.mark.django_db(transaction=True)
def test_use_without_a_quota_is_repaired(organization: Organization, api: Api) -> None:
    give(organization, terms(REQUESTS, 100))
    send(api, "a", 13)
    with tenancy.system("test"):
        Quota.objects.filter(meter__slug=TOKENS).delete()
    assert prove() == 1
    assert quota_of(organization, TOKENS).used == 13


@pytest.mark.django_db(transaction=True)
def test_requests_on_their_way_are_no_difference(organization: Organization, api: Api) -> None:
    """Units that are given out, and not shipped, given back, or taken while Redis is lost, are not counted yet."""
    give(organization, terms(REQUESTS, 100, hard=True))
    assert api.get("usage/meters").status_code == 200
    counters.note_loss(ConnectionError("the test's"))
    for _ in range(3):
        assert api.get("usage/meters").status_code == 200
    assert prove() == 0
    shipping.ship_all()
    assert quota_of(organization, REQUESTS).used == 4
    assert prove() == 0


@pytest.mark.django_db(transaction=True)
def test_two_reconciliations_at_once_repair_once(organization: Organization, api: Api) -> None:
    give(organization, terms(TOKENS, 10, rate="1"))
    send(api, "a", 20)
    change(TOKENS, used=777)
    with tenancy.system("test"):
        UsageRollup.objects.filter(meter__slug=TOKENS).update(quantity=999)
    hour = rollups.hour_of(timezone.now())
    barrier, repaired = threading.Barrier(4), []

    def run() -> None:
        try:
            barrier.wait()
            with tenancy.system("test"):
                repaired.append(
                    reconciliation.reconcile_usage(
                        start=hour - timedelta(hours=2), end=hour + timedelta(hours=1)
                    )
                )
            repaired.append(prove())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(repaired) == [0] * 6 + [1] * 2
    assert quota_of(organization, TOKENS).used == 20
    with tenancy.system("test"):
        assert UsageRollup.objects.get(meter__slug=TOKENS).quantity == 20


@pytest.mark.django_db(transaction=True)
def test_a_wrong_figure_that_is_billed_is_an_alarm_until_a_person_has_it_rated(
    organization: Organization, api: Api
) -> None:
    give(organization, terms(TOKENS, 10, rate="2"))
    send(api, "a", 30)
    change(TOKENS, used=130)
    quota = close(organization)
    later = quota.period.end + timedelta(hours=1)
    assert prove(later) == 1
    assert prove(later) == 0
    assert disproved() == [(quota.pk, -100)]
    with tenancy.system("test"):
        assert Quota.objects.values_list("used", "late_quantity").get(pk=quota.pk) == (130, 0)

    page, staff = "/admin/metering/quota/", staff_of_the_house()
    assert str(quota.pk) in staff.get(page, {"is_disproved": "1"}).content.decode()
    answer = staff.post(
        page, {"action": "correct", "_selected_action": str(quota.pk), "reason": "counted twice"}
    )
    assert answer.status_code == 302
    assert disproved() == []
    assert prove(later) == 0
    with tenancy.system("test"):
        successor = periods.ensure(organization=organization, now=later)
        assert periods.close(period=successor, now=successor.end)
        [line] = rating.rate(successor)
    assert (line.quantity, line.amount) == (-100, -200)


@pytest.mark.django_db(transaction=True)
def test_an_alarm_ends_when_the_facts_agree_again(organization: Organization, api: Api) -> None:
    give(organization, terms(TOKENS, 10, rate="2"))
    send(api, "a", 30)
    change(TOKENS, used=20)
    quota = close(organization)
    later = quota.period.end + timedelta(hours=1)
    assert prove(later) == 1
    assert disproved() == [(quota.pk, 10)]
    with tenancy.system("test"):
        Quota.objects.filter(pk=quota.pk).update(used=30)
    assert prove(later) == 1
    assert disproved() == []


@pytest.mark.django_db(transaction=True)
def test_every_sum_that_may_still_change_is_proved_daily(organization: Organization, api: Api) -> None:
    """Metering B6: a rollup of five days ago that was set to 999 stayed 999."""
    now = timezone.now()
    for days in (5, 34):
        send(api, f"{days}", days, occurred_at=(now - timedelta(days=days)).isoformat())
    shipping.ship_all()
    with tenancy.system("test"):
        sums = dict(UsageRollup.objects.filter(meter__slug=TOKENS).values_list("hour", "quantity"))
        assert sorted(sums.values()) == [5, 34]
        UsageRollup.objects.filter(meter__slug=TOKENS).update(quantity=999)
        RequestRollup.objects.update(count=999)
        UsageEvent.objects.filter(event_id="34").update(quantity=34)
    assert tasks.reconcile_use() == 3
    with tenancy.system("test"):
        assert dict(UsageRollup.objects.filter(meter__slug=TOKENS).values_list("hour", "quantity")) == sums
        assert RequestRollup.objects.get().count == 2
    assert tasks.reconcile_use() == 0


@pytest.mark.django_db(transaction=True)
def test_the_hours_of_what_staff_took_back_are_proved_however_old(
    organization: Organization, api: Api
) -> None:
    send(api, "old", 7)
    long_ago = timezone.now() - timedelta(days=90)
    with tenancy.system("test"):
        event = UsageEvent.objects.get()
        UsageEvent.objects.update(occurred_at=long_ago)
        UsageRollup.objects.filter(meter__slug=TOKENS).update(hour=rollups.hour_of(long_ago), quantity=999)
        voids.void(
            organization=organization,
            source="api",
            event_id=event.event_id,
            principal=None,
            now=timezone.now(),
        )
        assert UsageRollup.objects.get(meter__slug=TOKENS).quantity == 992
        assert reconciliation.reconcile_days(now=timezone.now()) == 1
        assert UsageRollup.objects.get(meter__slug=TOKENS).quantity == 0
