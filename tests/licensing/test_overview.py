"""Lists of licenses and of their servers, a page at a time, and the dashboard's summary."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import Organization, User
from licensing import overview
from licensing.models import Activation, License
from superagent.foundation import tenancy
from tests.accounts.conftest import founded, page_of, person
from tests.licensing.test_activations import crowd
from tests.licensing.test_pages import reauthenticate

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga() -> User:
    return person("olga@acme.example")


@pytest.fixture
def acme(olga: User) -> Organization:
    return founded("Acme", olga)


def test_many_servers_are_listed_by_pages_and_counted_whole(
    olga: User, acme: Organization, make_license: Any
) -> None:
    """The page drew a row and a dialog for each of up to a thousand."""
    license_ = make_license(acme)
    crowd(license_, 60)
    client = page_of(olga)
    address = reverse("license", args=[license_.pk])
    seen: list[str] = []
    while address:
        shown = client.get(address)
        seen += [server.activation.fingerprint for server in shown.context["servers"]]
        assert "60 of" in shown.content.decode() and "others on the list" in shown.content.decode()
        older = shown.context["page"].next
        address = f"{reverse('license', args=[license_.pk])}?cursor={older}" if older else ""
        assert len(shown.context["servers"]) <= 25
    assert seen == [f"crowd-{index}" for index in reversed(range(60))]
    with tenancy.system("test"):
        third = Activation.objects.get(fingerprint="crowd-3")
    removed = client.post(
        reverse("license-remove-server", args=[license_.pk]),
        {"activation": third.pk},
    )
    assert removed.status_code == 302


def test_few_servers_need_no_pages(olga: User, acme: Organization, make_license: Any) -> None:
    license_ = make_license(acme)
    crowd(license_, 2)
    client = page_of(olga)
    reauthenticate(client)
    html = client.get(reverse("license", args=[license_.pk])).content.decode()
    assert "crowd-1" in html and "others on the list" not in html and 'class="pager"' not in html


def test_licenses_are_listed_by_pages(olga: User, acme: Organization, make_license: Any) -> None:
    """The page read every license of the organization, with its features and its subscription."""
    issued = [make_license(acme) for _ in range(28)]
    client = page_of(olga)
    first = client.get(reverse("licenses")).context
    second = client.get(reverse("licenses"), {"cursor": first["page"].next}).context
    assert [row.license for row in [*first["rows"], *second["rows"]]] == issued[::-1]
    assert (len(first["rows"]), second["page"].next) == (25, None)


def test_the_summary_costs_the_same_for_many_licenses_and_finds_the_suspended_one(
    acme: Organization, make_license: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = timezone.now()
    oldest = make_license(acme)
    others = [make_license(acme) for _ in range(7)]
    with tenancy.tenant(acme):
        with django_assert_num_queries(2):
            summary = overview.summary(organization=acme, now=now)
        assert [license_ for license_, _status in summary.newest] == others[:-6:-1]
        assert summary.suspended is None
    with tenancy.system("test"):
        License.objects.filter(pk=oldest.pk).update(suspends_at=now - timedelta(seconds=1))
    with tenancy.tenant(acme):
        assert overview.summary(organization=acme, now=now).suspended == oldest


def test_the_summary_of_another_organization_is_empty(acme: Organization, make_license: Any) -> None:
    make_license(acme)
    globex = founded("Globex", person("gina@globex.example"))
    with tenancy.tenant(acme):
        assert len(overview.summary(organization=acme, now=timezone.now()).newest) == 1
    with tenancy.tenant(globex):
        assert overview.summary(organization=globex, now=timezone.now()) == overview.Summary([], None)
