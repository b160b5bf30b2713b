from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.admission import counters
from metering.models import Meter, Quota, UsageEvent, UsageRollup
from metering.quotas import periods
from metering.request_path import shipping
from metering.usage import ingest
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, quota_of, terms

TOKENS = "ai_tokens"


def event(event_id: str, quantity: int = 1, meter: str = TOKENS, **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "meter": meter, "quantity": quantity, **more}


@pytest.mark.django_db(transaction=True)
def test_one_event(organization: Organization, api: Api) -> None:
    give(organization, terms(TOKENS, 1000, rate="1"))
    answer = api.post("usage/events", event("e1", 40, properties={"model": "a"}))
    assert answer.status_code == 200, answer.content
    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert quota_of(organization, TOKENS).used == 40
    with tenancy.system("test"):
        row = UsageEvent.objects.get()
        assert (row.source, row.event_id, row.quantity, row.properties) == ("api", "e1", 40, {"model": "a"})
        assert row.api_key_id is not None
        assert UsageRollup.objects.get(meter__slug=TOKENS).quantity == 40


@pytest.mark.django_db(transaction=True)
def test_the_same_again_is_a_duplicate_and_another_body_a_conflict(
    organization: Organization, api: Api
) -> None:
    give(organization, terms(TOKENS, 1000, rate="1"))
    api.post("usage/events", event("e1", 40))
    assert api.post("usage/events", event("e1", 40)).json() == {
        "accepted": 0,
        "duplicates": 1,
        "rejected": [],
    }
    conflict = api.post("usage/events", event("e1", 41))
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflict")
    assert [(each["index"], each["code"]) for each in conflict.json()["rejected"]] == [(0, "conflict")]
    batch = api.post("usage/events", [event("e1", 41), event("e2", 0)])
    assert (batch.status_code, batch.json()["accepted"]) == (200, 1)
    assert [(each["index"], each["code"]) for each in batch.json()["rejected"]] == [(0, "conflict")]
    assert api.post("usage/events", event("e1", 41, source="other")).json()["accepted"] == 1
    assert quota_of(organization, TOKENS).used == 81


@pytest.mark.django_db(transaction=True)
def test_a_batch_tells_of_each_rejected_event(organization: Organization, api: Api) -> None:
    give(organization, terms(TOKENS, 1000, rate="1"))
    now = timezone.now()
    answer = api.post(
        "usage/events",
        [
            event("a", 1),
            event("b", 1, meter="nothing"),
            event("c", -1),
            event("d", 1.5),
            event("e", 1, occurred_at=(now - timedelta(days=36)).isoformat()),
            event("f", 1, occurred_at=(now + timedelta(minutes=6)).isoformat()),
            event("g", 1, occurred_at="yesterday"),
            {"meter": TOKENS},
            event("a", 1),
            event("a", 2),
            event("h", 1, occurred_at=(now - timedelta(days=34)).isoformat()),
            "text",
        ],
    ).json()
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    assert [(each["index"], each["code"]) for each in answer["rejected"]] == [
        (1, "unknown_meter"),
        (2, "invalid_quantity"),
        (3, "invalid_quantity"),
        (4, "too_old"),
        (5, "too_new"),
        (6, "invalid_occurred_at"),
        (7, "required"),
        (9, "conflict"),
        (11, "invalid_event"),
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"quantity": "7"}, "invalid_quantity", "/quantity"),
        ({"quantity": -1}, "invalid_quantity", "/quantity"),
        ({"quantity": 1.5}, "invalid_quantity", "/quantity"),
        ({"meter": "nothing"}, "unknown_meter", "/meter"),
        ({"occurred_at": "2020-01-01T00:00:00Z"}, "too_old", "/occurred_at"),
        ({"occurred_at": "2100-01-01T00:00:00Z"}, "too_new", "/occurred_at"),
        ({"quantitty": 7}, "unknown_field", "/quantitty"),
    ],
)
def test_a_single_event_that_is_rejected_is_no_success(
    organization: Organization, api: Api, changed: dict[str, Any], code: str, pointer: str
) -> None:
    """Metering A8 and A9: a client that looks at the status alone must not lose it."""
    body = event("a") | changed
    single = api.post("usage/events", body)
    assert single.status_code == 400
    assert [(e["code"], e["pointer"]) for e in single.json()["errors"]] == [(code, pointer)]
    assert (single.json()["accepted"], single.json()["rejected"][0]["code"]) == (0, code)
    batch = api.post("usage/events", [body, event("b")])
    assert (batch.status_code, batch.json()["accepted"]) == (200, 1)
    assert [(e["index"], e["code"], e["pointer"]) for e in batch.json()["rejected"]] == [(0, code, pointer)]


@pytest.mark.django_db(transaction=True)
def test_a_hard_quota_takes_what_fits(organization: Organization, api: Api) -> None:
    give(organization, terms(TOKENS, 10, hard=True))
    answer = api.post("usage/events", [event("a", 6), event("b", 5), event("c", 4), event("d", 1)]).json()
    assert answer["accepted"] == 2
    assert [(each["index"], each["code"]) for each in answer["rejected"]] == [
        (1, "quota_exceeded"),
        (3, "quota_exceeded"),
    ]
    refused = api.post("usage/events", event("e", 1))
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert refused.json()["resets_at"].endswith("Z")
    assert refused.json()["detail"].startswith(
        "All 10 AI tokens of the usage period are used. The quota resets at 20"
    )
    assert quota_of(organization, TOKENS).used == 10


@pytest.mark.django_db(transaction=True)
def test_reported_requests_and_own_requests_share_one_quota(organization: Organization, api: Api) -> None:
    from metering.request_path import shipping

    give(organization, terms("api_requests", 10, hard=True))
    assert api.get("usage/meters").status_code == 200  # 1
    answer = api.post(
        "usage/events", [event("a", 7, "api_requests"), event("b", 2, "api_requests")]
    ).json()  # 2
    assert (answer["accepted"], len(answer["rejected"])) == (1, 1)
    assert api.get("usage/meters").status_code == 200  # 10
    assert api.get("usage/meters").status_code == 429
    shipping.ship_all()
    assert quota_of(organization, "api_requests").used == 10


@pytest.mark.django_db(transaction=True)
def test_a_batch_takes_the_same_number_of_queries_whatever_its_size(
    organization: Organization, api: Api, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    give(organization, terms(TOKENS, 10**9, rate="1"))
    api.post("usage/events", event("first"))
    counts = []
    for size in (1, 10, 1000):
        with CaptureQueriesContext(connection) as queries:
            assert (
                api.post("usage/events", [event(f"{size}-{n}") for n in range(size)]).json()["accepted"]
                == size
            )
        counts.append(len(queries))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 12


@pytest.mark.django_db(transaction=True)
def test_a_retry_of_what_was_recorded_is_a_duplicate_however_late(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metering A9: by age, and after the meter was given up."""
    at = (timezone.now() - timedelta(days=34, hours=23)).isoformat()
    batch = [event("e1", 7, occurred_at=at), event("e2", 8, occurred_at=at)]
    assert api.post("usage/events", batch).json()["accepted"] == 2
    with monkeypatch.context() as later:
        later.setattr(ingest, "OLDEST", timedelta(days=34))
        batch = [*batch, event("e2", 9, occurred_at=at), event("e3", 1, occurred_at=at)]
        answer = api.post("usage/events", batch).json()
    assert (answer["accepted"], answer["duplicates"]) == (0, 2)
    assert [(each["index"], each["code"]) for each in answer["rejected"]] == [(2, "conflict"), (3, "too_old")]
    with tenancy.system("test"):
        Meter.objects.filter(slug=TOKENS).update(is_active=False)
    assert api.post("usage/events", batch[:1]).json()["duplicates"] == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("meter", [TOKENS, "api_requests"])
def test_a_sum_that_no_integer_of_ours_can_bear_is_refused_at_the_door(
    organization: Organization, api: Api, meter: str
) -> None:
    """Metering B11: it was a 500 on every page, and for every later event."""
    give(organization, terms(meter, 0, rate="1"))
    assert api.get("usage/meters").status_code == 200  # there is a counter
    with tenancy.system("test"):
        Quota.objects.filter(meter__slug=meter).update(used=2**53 - 1 - 10**12)
    counters.refresh(organization.pk)
    assert api.post("usage/events", event("fits", 10**12 - 50, meter=meter)).json()["accepted"] == 1
    refused = api.post("usage/events", [event("too much", 51, meter=meter), event("small", 2, meter=meter)])
    assert [each["code"] for each in refused.json()["rejected"]] == ["total_too_large"]
    assert "at most 9,007,199,254,740,991" in refused.json()["rejected"][0]["detail"]
    for path in ("quotas", "usage/stats", "usage/meters"):
        assert api.get(path).status_code == 200
    shipping.ship_all()
    used = next(each["used"] for each in api.get("quotas").json()["data"] if each["meter"] == meter)
    with tenancy.system("test"):
        assert used == Quota.objects.get(meter__slug=meter).used


@pytest.mark.django_db(transaction=True)
def test_another_organization_s_events_are_not_reached(
    organization: Organization, other_organization: Organization, api: Api
) -> None:
    api.post("usage/events", event("e1", 30))
    stranger = new_key(other_organization)
    assert stranger.post("usage/events/e1/void").status_code == 404
    assert stranger.post("usage/events", event("e1", 31)).json()["accepted"] == 1
    assert stranger.get("usage/stats").json()["meters"] == [{"meter": TOKENS, "quantity": 31}]


@pytest.mark.django_db(transaction=True)
def test_use_of_a_closed_period_is_late(organization: Organization, api: Api) -> None:
    from metering.rating import rating

    start = timezone.now() - timedelta(days=20)
    with tenancy.system("test"):
        organization.created_at = start
        organization.save()
        give_at = start + timedelta(minutes=1)
        give(organization, terms(TOKENS, 10, rate="2"), now=give_at)
        middle = start + timedelta(days=10)
        periods.begin(organization=organization, start=middle, now=middle)
    answer = api.post("usage/events", event("late", 12, occurred_at=(start + timedelta(days=1)).isoformat()))
    assert answer.json()["accepted"] == 1
    with tenancy.system("test"):
        first = Quota.objects.get(period__closed_at__isnull=False, meter__slug=TOKENS)
        assert (first.used, first.late_quantity) == (0, 12)
        assert UsageEvent.objects.get().is_late
        second = periods.current(organization=organization, now=timezone.now())
        assert second is not None
        assert periods.close(period=second, now=second.end)
        [line] = rating.rate(second)
    assert (line.quantity, line.amount) == (2, 4)
