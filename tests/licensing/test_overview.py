"""A license's page shows the servers that it runs on, a page at a time."""

from typing import Any

import pytest
from django.urls import reverse

from accounts.models import Organization, User
from licensing.models import Activation
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
