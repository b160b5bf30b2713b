"""The request log: filters, the command to replay a request, and whose requests are found."""

from __future__ import annotations

import pytest

from accounts.models import Organization
from metering.analytics import request_log
from metering.models import RequestRecord
from metering.request_path import shipping
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, terms
from tests.metering.test_pages import signed_in


@pytest.mark.django_db(transaction=True)
def test_the_request_log_filters_and_leads_to_the_request(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", None))
    api.get("usage/meters")
    api.post("quotas/check", {"meter": "nothing"})
    shipping.ship_all()
    client = signed_in(organization)
    everything = client.get("/requests/").content.decode()
    assert "usage/meters" in everything
    assert "quotas/check" in everything
    failed = client.get("/requests/?status=4xx").content.decode()
    assert "usage/meters" not in failed.split("<tbody>")[1]
    assert "No requests match these filters" in client.get("/requests/?method=DELETE").content.decode()
    with tenancy.system("test"):
        record = RequestRecord.objects.get(method="POST")
    detail = client.get(f"/requests/{record.pk}/").content.decode()
    assert record.request_id in detail
    assert "YOUR_API_KEY" in detail
    assert "/api/v1/quotas/check" in detail


@pytest.mark.parametrize(
    ("method", "sent", "command"),
    [
        ("GET", 0, "curl 'http"),
        ("GET", 20, "curl -X GET 'http"),  # curl alone would make a POST of it
        ("POST", 20, "curl -X POST 'http"),
        ("DELETE", 0, "curl -X DELETE 'http"),
        ("HEAD", 0, "curl --head 'http"),
    ],
)
def test_the_command_to_try_again_has_the_method_of_the_call(method: str, sent: int, command: str) -> None:
    told = request_log.curl(RequestRecord(method=method, path="/api/v1/quotas", request_bytes=sent))
    assert told.startswith(command)
    assert ("-d '{ }'" in told) == bool(sent)


@pytest.mark.django_db(transaction=True)
def test_another_organization_s_requests_are_not_found(
    organization: Organization, other_organization: Organization
) -> None:
    new_key(other_organization).get("usage/meters")
    shipping.ship_all()
    with tenancy.system("test"):
        record = RequestRecord.objects.get()
    client = signed_in(organization)
    assert client.get(f"/requests/{record.pk}/").status_code == 404
    assert (
        "usage/meters" not in client.get("/requests/").content.decode().split("<main")[1].split("</main")[0]
    )
    mine = new_key(organization)
    assert mine.get("usage/requests").json()["data"] == []
    assert new_key(other_organization).get("usage/requests").json()["data"][0]["id"] == str(record.pk)
