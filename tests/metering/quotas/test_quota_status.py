"""What is left of a quota, as it is told and checked."""

from __future__ import annotations

import pytest

from accounts.models import Organization
from tests.metering.conftest import Api, give, terms
from tests.metering.usage.test_ingest import TOKENS, event


@pytest.mark.django_db(transaction=True)
def test_the_refusal_of_an_event_says_what_was_asked_and_what_remains(
    organization: Organization, api: Api
) -> None:
    """Portal A6."""
    give(organization, terms(TOKENS, 10_000, hard=True))
    assert api.post("usage/events", event("a", 8_500)).status_code == 200
    refused = api.post("usage/events", event("b", 2_000)).json()
    assert (refused["requested"], refused["remaining"], refused["limit"]) == (2_000, 1_500, 10_000)
    assert "used up" not in refused["title"]  # 1,500 are left
    said = "2,000 AI tokens were requested; 1,500 of 10,000 remain until "
    assert refused["detail"].startswith(said + refused["resets_at"][:10])
    assert api.post("usage/events", event("c", 1_500)).status_code == 200


def test_an_unknown_meter_of_a_question_is_named(api: Api) -> None:
    answer = api.post("quotas/check", {"meter": "nothing", "quantity": 1})
    assert answer.status_code == 400
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [
        ("/meter", "unknown_meter")
    ]
