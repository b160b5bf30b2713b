"""The search of the command palette: each kind of record by what one has of it, for one organization and one role."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, Membership, User
from accounts.roles import Scope
from superagent.foundation import cursors, tenancy
from tests.accounts.conftest import founded, join, page_of, person
from tests.test_tenants import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def globex(db: None) -> World:
    return World()


def found(client: Client, text: str) -> list[tuple[str, str, str]]:
    """(kind, name, address) of each hit."""
    answer = client.get("/search/", {"q": text}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    pattern = r'data-href="([^"]+)">.*?<span>([^<]+)</span>.*?<span class="where">([^<]+)</span>'
    return [
        (kind, unescape(name), unescape(href))
        for href, name, kind in re.findall(pattern, answer.content.decode(), re.DOTALL)
    ]


def license_tail(globex: World) -> str:
    from licensing.models import License

    with tenancy.system("test"):
        return License.objects.get(pk=globex.arguments()["license"]["license_id"]).key_tail


def test_every_kind_of_record_is_found(globex: World):
    client = page_of(globex.owner)
    ids = globex.arguments()
    with tenancy.system("test"):
        key = ApiKey.objects.get(pk=ids["api-key-rotate"]["key_id"])
        vic = Membership.objects.get(user=globex.member)
    on_keys = f"/api-keys/?show=all&cursor={cursors.starting_with(key)}#key-{key.pk}"
    on_members = f"/members/?cursor={cursors.starting_with(vic)}#member-{globex.member.pk}"
    on_license = f"/licenses/{ids['license']['license_id']}/"
    assert found(client, "globex-1") == [
        ("Invoice", "GLOBEX-1", f"/invoices/{ids['invoice']['invoice_id']}/")
    ]
    assert found(client, "TES") == [("API key", "test", on_keys)]
    assert found(client, key.prefix) == [("API key", "test", on_keys)]
    assert found(client, f"{key.prefix}andtherestofit") == [("API key", "test", on_keys)]
    assert found(client, "vic@") == [("Member", "Vic", on_members)]
    assert ("License", "NextPanel Professional", on_license) in found(client, "professional")
    assert found(client, license_tail(globex).lower()) == [("License", "NextPanel Professional", on_license)]
    assert found(client, "globex-request") == [
        ("Request", "GET /api/v1/quotas", f"/requests/{ids['request']['record_id']}/")
    ]


def test_each_hit_leads_to_a_page_that_shows_the_record(globex: World):
    """Also when it is far down its list."""
    with tenancy.tenant(globex.organization):
        wanted, _ = api_keys.create(
            organization=globex.organization, name="Needle", scopes=[Scope.USAGE_READ], created_by=None,
            expires_at=timezone.now() + timedelta(days=1), now=timezone.now(),
        )  # fmt: skip
        for _number in range(30):
            api_keys.create(
                organization=globex.organization, name="Hay", scopes=[Scope.USAGE_READ], created_by=None,
                expires_at=None, now=timezone.now(),
            )  # fmt: skip
    client = page_of(globex.owner)
    ((_kind, _name, address),) = found(client, "needle")
    page, anchor = address.split("#")
    assert f'id="{anchor}"' in client.get(page).content.decode()
    assert anchor == f"key-{wanted.pk}"
    ((_kind, _name, address),) = found(client, "vic@")
    page, anchor = address.split("#")
    assert f'id="{anchor}"' in client.get(page).content.decode()
    assert len(found(client, "hay")) == 5


def test_nothing_of_another_organization_is_found(globex: World):
    ada = person("ada@acme.example")
    founded("Acme", ada)
    for text in ("globex", "GLOBEX-1", "test", "vic@", "professional", "globex-request", "sa_test_"):
        assert found(page_of(ada), text) == [], text


def test_nobody_finds_what_the_role_may_not_read(globex: World):
    viewer = page_of(globex.member)
    assert found(viewer, "GLOBEX-1") == []
    assert found(viewer, "test") == []
    assert [kind for kind, _name, _href in found(viewer, "globex-request")] == ["Request"]


def test_what_is_too_short_too_long_or_a_wildcard_finds_nothing(globex: World):
    client = page_of(globex.owner)
    for text in ("", " ", "g", "%", "_", "\\", "'", "x" * 101, "sa_test_" + "x" * 80, "GLO%", "v_c"):
        assert found(client, text) == [], text


def test_it_costs_a_query_for_each_kind(globex: World, django_assert_max_num_queries):
    colleagues: list[User] = [join(globex.organization, f"vic{n}@globex.example", "viewer") for n in range(4)]
    assert colleagues
    client = page_of(globex.owner)
    found(client, "globex")
    with django_assert_max_num_queries(9):  # session, user, membership twice, and five kinds
        assert len(found(client, "globex")) == 6


def test_a_browser_that_opens_its_address_is_led_to_the_portal(globex: World):
    assert page_of(globex.owner).get("/search/?q=globex")["Location"].startswith("/dashboard/")
