"""Events are voided once, by customers only while they are not billed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.models import Quota, UsageEvent, UsagePeriod, UsageRollup
from metering.quotas import periods
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, quota_of, terms
from tests.metering.usage.test_ingest import TOKENS, event


@pytest.mark.django_db(transaction=True)
def test_an_event_is_taken_back_once(organization: Organization, api: Api) -> None:
    give(organization, terms(TOKENS, 100, hard=True))
    api.post("usage/events", event("a/b", 60, source="s"))
    path = "usage/events/e1/void"
    api.post("usage/events", event("e1", 30))
    first, second = api.post(path), api.post(path)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert (first.json()["quantity"], first.json()["source"]) == (30, "api")
    assert quota_of(organization, TOKENS).used == 60
    assert api.post("usage/events/e1/void?source=s").status_code == 404
    assert api.post("usage/events", event("e1", 30)).json()["duplicates"] == 1
    with tenancy.system("test"):
        assert UsageRollup.objects.get(meter__slug=TOKENS).quantity == 60


@pytest.mark.django_db(transaction=True)
def test_customers_take_back_only_what_they_reported_while_it_is_not_billed(
    organization: Organization, api: Api
) -> None:
    """Metering A6."""
    give(organization, terms(TOKENS, 0, rate="1"))
    with tenancy.tenant(organization):
        house = EventIn("chat-reply-1", TOKENS, 5000, source="house")
        ingest.record(organization=organization, events=[house], principal=None, now=timezone.now())
    refused = api.post("usage/events/chat-reply-1/void?source=house")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_reported_by_you")
    for name in ("own", "old", "billed"):
        api.post("usage/events", event(name, 10))
    assert new_key(organization).post("usage/events/own/void").status_code == 200
    with tenancy.system("test"):
        UsageEvent.objects.filter(event_id="old").update(received_at=timezone.now() - timedelta(days=36))
    refused = api.post("usage/events/old/void")
    assert (refused.status_code, refused.json()["code"]) == (409, "event_too_old")
    with tenancy.system("test"):
        UsagePeriod.objects.update(end=timezone.now())
        assert periods.close_due(now=timezone.now()) == 1
    refused = api.post("usage/events/billed/void")
    assert (refused.status_code, refused.json()["code"]) == (409, "event_is_billed")
    assert api.post("usage/events/own/void").status_code == 200  # again, with the first answer
    with tenancy.system("test"):
        assert sum(quota.total for quota in Quota.objects.filter(meter__slug=TOKENS)) == 5020
