"""The frame around every portal page: the organization switcher, the menu."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import Organization, User
from tests.accounts.conftest import founded, join, page_of, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def nora(db: None) -> User:
    return person("nora@brightwork.example")


@pytest.fixture
def brightwork(nora: User) -> Organization:
    return founded("Brightwork", nora)


def offered(client: Client, address: str = "/dashboard/") -> dict[str, str]:
    """The organizations that the switcher's buttons turn to: name to id."""
    body = client.get(address).content.decode()
    buttons = re.findall(
        r'name="organization" value="([^"]+)">.*?<span class="truncate">([^<]+)</span>', body
    )
    return {name: pk for pk, name in buttons}


def here(client: Client, address: str = "/dashboard/") -> str:
    found = re.search(r'<span class="switcher-name">([^<]+)</span>', client.get(address).content.decode())
    assert found is not None
    return found.group(1)


def test_the_switcher_lists_every_organization_and_leads_there_and_back(nora: User, brightwork: Organization):
    """A1: whoever founds or joins a second organization must find the way back in the menu."""
    client = page_of(nora)
    assert (here(client), offered(client)) == ("Brightwork", {})
    client.post("/organizations/new/", {"name": "Brightwork Free"})
    assert here(client) == "Brightwork Free"
    assert offered(client) == {"Brightwork": str(brightwork.pk)}
    answer = client.post(
        "/organizations/switch/", {"organization": offered(client)["Brightwork"], "next": "/usage/"}
    )
    assert answer["Location"] == "/usage/"
    assert here(client) == "Brightwork"
    assert set(offered(client)) == {"Brightwork Free"}


def test_who_was_invited_to_a_second_organization_finds_it_in_the_menu(brightwork: Organization):
    guest = join(brightwork, "gus@globex.example", "viewer")
    founded("Globex", guest)
    assert set(offered(page_of(guest))) == {"Globex"}


def test_pages_of_the_account_have_the_switcher_too(nora: User, brightwork: Organization):
    founded("Second", nora)
    assert set(offered(page_of(nora), "/accounts/password/change/")) == {"Second"}
