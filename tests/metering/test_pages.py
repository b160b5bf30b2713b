from __future__ import annotations

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client

from accounts import rights_guard
from accounts.models import Membership, Organization, User
from metering.models import RequestRecord
from metering.request_path import shipping
from superagent.foundation import tenancy
from tests.fixtures.staff import staff_client
from tests.metering.conftest import Api, give, terms


def signed_in(organization: Organization, role: str = "viewer", **fields: object) -> Client:
    with rights_guard.opened():
        user = User.objects.create(
            email=f"{role}-{organization.pk}@example.com",
            full_name="Ada",
            password=make_password("a horse on a mountain"),
            default_organization=organization,
            **fields,
        )
    with tenancy.system("test"):
        Membership.objects.create(organization=organization, user=user, role=role)
        if user.is_staff:
            return staff_client(user)
        client = Client()
        client.force_login(user, backend="accounts.backends.Backend")
    return client


@pytest.mark.django_db(transaction=True)
def test_usage_shows_totals_charts_and_quotas(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", 1000, hard=True), terms("ai_tokens", 50, rate="1"))
    for _ in range(3):
        api.get("usage/meters")
    api.post("usage/events", {"event_id": "e", "meter": "ai_tokens", "quantity": 1234})
    shipping.ship_all()
    client = signed_in(organization)
    for key in ("current", "previous", "7d", "30d", "90d", "nonsense"):
        assert client.get(f"/usage/?range={key}").status_code == 200
    page = client.get("/usage/?meter=ai_tokens").content.decode()
    assert "1,234" in page
    assert "api/v1/usage/meters" in page
    export = client.get("/usage/export.csv?range=7d").content.decode().splitlines()
    assert export[0] == "start,dimension,name,quantity"
    assert any(line.endswith("meter,ai_tokens,1234") for line in export)
    assert any("GET /api/v1/usage/meters,3" in line for line in export)


@pytest.mark.parametrize("meter", ["a%0d%0aSet-Cookie:b=c", "a%22b", "nothing"])
@pytest.mark.django_db(transaction=True)
def test_the_file_of_a_chart_is_named_after_what_it_shows_not_after_the_address(
    organization: Organization, meter: str
) -> None:
    answer = signed_in(organization).get(f"/usage/chart.csv?meter={meter}&start=2026-01-01&end=2026-01-02")
    expected = 'attachment; filename="calls-by-endpoint-2026-01-01-2026-01-02.csv"'
    assert (answer.status_code, answer.headers["Content-Disposition"]) == (200, expected)


@pytest.mark.django_db(transaction=True)
def test_an_empty_organization_has_a_helpful_page(organization: Organization) -> None:
    client = signed_in(organization)
    assert "Nothing was used in this time" in client.get("/usage/").content.decode()
    assert "No requests in this time" in client.get("/requests/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_staff_see_every_table(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", 1000))
    api.post("usage/events", {"event_id": "e", "meter": "ai_tokens"})
    shipping.ship_all()
    client = signed_in(organization, "owner", is_staff=True, is_superuser=True)
    names = ["meter", "allowance", "quota", "usageperiod", "usageevent", "requestrecord"]
    names += ["usagerollup", "requestrollup", "quotaalert"]
    for name in names:
        answer = client.get(f"/admin/metering/{name}/")
        assert answer.status_code == 200, name
        if name != "meter":
            assert client.get(f"/admin/metering/{name}/add/").status_code == 403
    with tenancy.system("test"):
        record = RequestRecord.objects.get()
    assert client.get(f"/admin/metering/requestrecord/{record.pk}/change/").status_code == 200
