"""The version by which a stream sees that something was counted."""

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.admission import counters
from metering.quotas import live
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, terms


@pytest.mark.django_db(transaction=True)
def test_the_version_changes_with_each_request_and_each_batch_and_not_by_itself(
    organization: Organization, api: Api
) -> None:
    give(organization, terms("api_requests", 100), terms("ai_tokens", 100))
    assert api.get("usage/meters").status_code == 200
    seen = [live.version(organization.pk), live.version(organization.pk)]
    api.get("usage/meters")
    seen.append(live.version(organization.pk))
    live.touch(organization.pk)  # as ingest does after a batch
    seen.append(live.version(organization.pk))
    assert seen[0] == seen[1] is not None
    assert len(set(seen)) == 3


@pytest.mark.django_db
def test_while_redis_is_lost_there_is_no_version(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object, **__: object) -> None:
        raise live.LOST[0]("away")

    monkeypatch.setattr(live.redis_wire, "send", lose)
    assert live.version(organization.pk) is None
    assert counters.is_lost()


@pytest.mark.django_db
def test_a_snapshot_tells_of_each_meter_what_is_left(organization: Organization) -> None:
    give(organization, terms("ai_tokens", 100, hard=True))
    with tenancy.tenant(organization):
        [told] = [
            each for each in live.snapshot(organization, timezone.now())["meters"] if each["limit"] == 100
        ]
    assert told == {
        "meter": "ai_tokens", "unit": "tokens", "used": 0, "limit": 100, "remaining": 100, "hard": True,
    }  # fmt: skip
