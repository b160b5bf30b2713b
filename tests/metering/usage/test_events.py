"""Events as they are sent: our own format and CloudEvents."""

from __future__ import annotations

import pytest

from accounts.models import Organization
from tests.metering.conftest import Api, give, quota_of, terms
from tests.metering.usage.test_ingest import TOKENS, event


@pytest.mark.django_db(transaction=True)
def test_a_malformed_single_event_is_400_with_its_field(organization: Organization, api: Api) -> None:
    answer = api.post("usage/events", {"meter": TOKENS, "quantity": 1})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"pointer": "/event_id", "code": "required", "detail": "event_id is missing."}
    ]
    assert api.post("usage/events", []).status_code == 400
    assert api.post("usage/events", [event(str(n)) for n in range(1001)]).status_code == 400
    assert api.post("usage/events", b"{").status_code == 400
    assert api.post("usage/events", event("nul\0")).status_code == 400
    assert api.post("usage/events", event("x", properties={"a": "\0"})).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_cloud_events(organization: Organization, api: Api) -> None:
    give(organization, terms(TOKENS, 1000, rate="1"))
    one = {"specversion": "1.0", "id": "1", "source": "/gateway", "type": "ai.tokens", "data": {"tokens": 7}}
    answer = api.post("usage/events", one, content_type="application/cloudevents+json")
    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    batch = [one, one | {"id": "2", "type": "unknown"}, one | {"id": "3", "data": {}}, one | {"id": "4"}]
    answer = api.post("usage/events", batch, content_type="application/cloudevents-batch+json").json()
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)
    assert [(each["index"], each["code"]) for each in answer["rejected"]] == [
        (1, "unknown_meter"),
        (2, "invalid_quantity"),
    ]
    assert quota_of(organization, TOKENS).used == 14


@pytest.mark.django_db(transaction=True)
def test_extension_attributes_of_a_cloud_event_are_no_unknown_fields(api: Api) -> None:
    body = {
        "specversion": "1.0", "id": "e", "source": "s", "type": "ai.tokens", "data": {"tokens": 3},
        "traceparent": "00-1",
    }  # fmt: skip
    assert api.post("usage/events", body).json()["accepted"] == 1
