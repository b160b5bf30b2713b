"""The frame around every portal page: the organization switcher, the menu."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts import rights_guard
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.portal import menu
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
        r'name="organization" value="([^"]+)">.*?<span class="truncate">([^<]+)</span>', body, re.DOTALL
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


def test_who_belongs_to_many_organizations_has_a_short_menu_and_finds_the_others_on_a_page(
    nora: User, brightwork: Organization, django_assert_max_num_queries
):
    """The menu, on every page, read and drew them all: invitations may be accepted without end."""
    with tenancy.system("test"):
        made = Organization.objects.bulk_create(
            Organization(name=f"Customer {number:03}", email="nora@brightwork.example")
            for number in range(60)
        )
        Membership.objects.bulk_create(
            Membership(organization=each, user=nora, role=Role.VIEWER) for each in made
        )
    client = page_of(nora)
    body = client.get("/dashboard/").content.decode()
    assert len(offered(client)) == 19 and "Find an organization" in body and "Customer 059" not in body
    # What closing means for an organization that is left alone takes some queries: for each that is named.
    for path, most in (
        ("/accounts/email/", 40),
        ("/organizations/new/", 40),
        ("/settings/profile/close/", 280),
    ):
        with django_assert_max_num_queries(most):
            body = client.get(path).content.decode()
        assert "Customer 059" not in body, path
    listed = client.get("/organizations/")
    assert [each.organization.name for each in listed.context["page"].rows][:2] == [
        "Customer 059",
        "Customer 058",
    ]
    assert len(listed.context["page"].rows) == 25 and listed.context["page"].next
    [found] = client.get("/organizations/?q=MER+033").context["page"].rows
    answer = client.post("/organizations/switch/", {"organization": str(found.organization_id)})
    assert answer.status_code == 302 and here(client) == "Customer 033"
    assert "is called “xyz”" in client.get("/organizations/?q=xyz").content.decode()


def test_the_list_of_organizations_names_only_ones_own(nora: User, brightwork: Organization):
    founded("Globex", person("gus@globex.example"))
    assert [each.organization for each in page_of(nora).get("/organizations/").context["page"].rows] == [
        brightwork
    ]


def test_pages_of_the_account_have_the_switcher_too(nora: User, brightwork: Organization):
    founded("Second", nora)
    assert set(offered(page_of(nora), "/accounts/password/change/")) == {"Second"}


def test_nobody_is_shown_a_frame_of_someone_else(brightwork: Organization):
    """Most of the frame is drawn once for everybody: names, tokens, rights and places in the menu are not of it."""
    admin, viewer = (
        join(brightwork, "ada@brightwork.example", "admin"),
        join(brightwork, "vic@brightwork.example", "viewer"),
    )
    stranger = person("sam@globex.example")
    founded("Globex", stranger)
    people = {"ada": admin, "vic": viewer, "sam": stranger}
    clients = {name: page_of(each) for name, each in people.items()}
    for path in ("/members/", "/usage/", "/members/", "/dashboard/", "/usage/"):
        bodies = {name: client.get(path).content.decode() for name, client in clients.items()}
        tokens = [re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', body) for body in bodies.values()]
        assert all(tokens) and not set(tokens[0]) & set(tokens[1]) and not set(tokens[1]) & set(tokens[2])
        for name, body in bodies.items():
            summary = re.findall(r'<span class="switcher-(?:name|role)">([^<]+)</span>', body)
            assert summary[0] == ("Globex" if name == "sam" else "Brightwork")
            assert summary[-1] == people[name].email
            assert ("Globex" in body) == (name == "sam")
            assert ('href="/api-keys/"' in body, 'href="/audit/"' in body) == (name != "vic", name != "vic")
            assert re.findall(r'class="nav-link"\s+href="([^"]+)"\s+aria-current="page"', body) == [path]


def test_staff_have_the_way_to_the_admin_and_nobody_else(brightwork: Organization, nora: User):
    client = page_of(nora)
    assert "Staff admin" not in client.get("/members/").content.decode()
    with rights_guard.opened():
        User.objects.filter(pk=nora.pk).update(is_staff=True)
    assert "Staff admin" in client.get("/members/").content.decode()
    guest = join(brightwork, "gus@brightwork.example", "owner")
    assert "Staff admin" not in page_of(guest).get("/members/").content.decode()


def test_the_menu_marks_the_page_and_what_is_below_it():
    assert menu.mark("/billing/") == ("billing", True)
    assert (
        menu.mark("/billing/plans/")
        == menu.mark("/checkout/confirm/")
        == menu.mark("/orders/1/")
        == ("billing", False)
    )
    assert menu.mark("/settings/") == ("settings", True)
    assert menu.mark("/settings/profile/") == menu.mark("/nowhere/") == ("", False)


def test_every_entry_of_the_menu_is_a_page_with_an_icon_and_keys_of_its_own(
    brightwork: Organization, nora: User
):
    entries = [entry for section in menu.SECTIONS for entry in section.entries]
    chords = [entry.chord for entry in entries if entry.chord]
    assert len(chords) == len(set(chords))
    client = page_of(nora)
    for entry in entries:
        assert client.get(reverse(entry.page)).status_code == 200


def test_the_title_of_the_window_is_the_heading_of_the_page(brightwork: Organization, nora: User):
    client = page_of(nora)
    assert "<title>Members · SuperAgent</title>" in client.get("/members/").content.decode()
    User.objects.filter(pk=nora.pk).update(full_name="Nora <b>")
    body = client.get(f"/members/{nora.pk}/").content.decode()
    assert "<title>Nora &lt;b&gt; · SuperAgent</title>" in body
