"""The portal pages of accounts: who may, what they show, and that they never show another organization's things."""

import re
from uuid import uuid4

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts import invitations, mail_links
from accounts.models import ApiKey, Membership, TokenFamily
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, Api, actions, api_of, founded, key_of, page_of, role_of

DASHBOARD = reverse("dashboard")

NEW_KEY = {"name": "server", "scopes": ["usage:write"], "lifetime": "90"}
PAGES = [
    "/api-keys/",
    "/api-keys/new/",
    "/members/",
    "/members/invite/",
    "/audit/",
    "/settings/",
    "/settings/profile/",
    "/settings/security/",
]


@pytest.fixture
def page(acme, owner):
    return page_of(owner)


def new_key(page, **changed):
    once = re.search(r'name="once" value="([^"]+)"', page.get("/api-keys/new/").content.decode()).group(1)
    return page.post("/api-keys/new/", NEW_KEY | {"once": once} | changed)


@pytest.mark.parametrize("path", [*PAGES, "/organizations/new/"])
def test_pages_answer_and_ask_strangers_to_log_in(page, client, path):
    assert page.get(path).status_code == 200
    asked = client.get(path)
    assert (asked.status_code, asked["Location"]) == (302, f"/accounts/login/?next={path}")


@pytest.mark.parametrize(
    "role, forbidden",
    [
        (Role.VIEWER, {"/api-keys/", "/api-keys/new/", "/members/invite/", "/audit/"}),
        (Role.BILLING, {"/api-keys/", "/api-keys/new/", "/members/invite/", "/audit/"}),
        (Role.DEVELOPER, {"/members/invite/", "/audit/"}),
        (Role.ADMIN, set()),
    ],
)
def test_roles_open_their_pages_and_say_who_grants_the_others(acme, member, owner, role, forbidden):
    page = page_of(member(role))
    for path in PAGES:
        answer = page.get(path)
        assert answer.status_code == (403 if path in forbidden else 200), path
        if path in forbidden:
            assert owner.email in answer.content.decode()


def test_a_key_is_created_shown_once_and_used(acme, owner, page):
    made = new_key(page)
    assert made.status_code == 200
    plain_text = re.search(r"sa_test_[\w-]{43}", made.content.decode()).group(0)
    assert "no-store" in made["Cache-Control"]
    assert Api(plain_text).get("organizations").status_code == 200
    listed = page.get("/api-keys/").content.decode()
    assert plain_text not in listed
    assert plain_text[:12] in listed
    with tenancy.tenant(acme):
        key = ApiKey.objects.get()
    assert (key.created_by, key.scopes, (key.expires_at - timezone.now()).days) == (
        owner,
        ["usage:write"],
        89,
    )


def test_a_form_sent_twice_makes_one_key(acme, page):
    once = re.search(r'name="once" value="([^"]+)"', page.get("/api-keys/new/").content.decode()).group(1)
    assert page.post("/api-keys/new/", NEW_KEY | {"once": once}).status_code == 200
    assert page.post("/api-keys/new/", NEW_KEY | {"once": once})["Location"] == "/api-keys/"
    with tenancy.tenant(acme):
        assert ApiKey.objects.count() == 1


def test_the_key_form_says_what_is_wrong(page):
    answer = new_key(page, name="", scopes=[])
    assert set(answer.context["form"].errors) == {"name", "scopes"}


def test_a_developer_is_offered_own_scopes_only(acme, member):
    answer = new_key(page_of(member(Role.DEVELOPER)), scopes=["billing:write"])
    assert set(answer.context["form"].errors) == {"scopes"}


@pytest.mark.django_db(transaction=True)
def test_rotate_and_revoke_by_the_portal(acme, page):
    old = re.search(r"sa_test_[\w-]{43}", new_key(page).content.decode()).group(0)
    with tenancy.tenant(acme):
        key = ApiKey.objects.get()
    rotated = page.post(f"/api-keys/{key.pk}/rotate/", {"grace_seconds": "0"})
    new = re.search(r"sa_test_[\w-]{43}", rotated.content.decode()).group(0)
    assert Api(old).get("organizations").status_code == 401
    assert Api(new).get("organizations").status_code == 200
    with tenancy.tenant(acme):
        successor = ApiKey.objects.get(rotated_from=key)
    assert page.post(f"/api-keys/{successor.pk}/revoke/")["Location"] == "/api-keys/"
    assert Api(new).get("organizations").status_code == 401
    assert page.post(f"/api-keys/{successor.pk}/rotate/", {"grace_seconds": "7"}).status_code == 302
    assert page.get("/api-keys/?show=all").content.decode().count("Revoked") >= 2


def test_keys_cost_the_same_for_one_and_for_many(acme, page, django_assert_max_num_queries):
    for _ in range(5):
        key_of(acme)
    page.get("/api-keys/")
    with django_assert_max_num_queries(9):
        page.get("/api-keys/")


def test_invite_and_withdraw(acme, page):
    assert (
        page.post("/members/invite/", {"email": "New@acme.example", "role": "viewer"})["Location"]
        == "/members/"
    )
    again = page.post("/members/invite/", {"email": "new@acme.example", "role": "viewer"})
    assert (again.status_code, "has an open invitation" in again.content.decode()) == (422, True)
    listed = page.get("/members/").content.decode()
    assert "new@acme.example" in listed
    withdraw = re.search(r"/members/invitations/[0-9a-f-]+/withdraw/", listed).group(0)
    assert page.post(withdraw).status_code == 302
    assert "new@acme.example" not in page.get("/members/").content.decode().partition("<tbody")[2]


def test_an_admin_cannot_invite_an_owner(acme, member):
    answer = page_of(member(Role.ADMIN)).post("/members/invite/", {"email": "a@b.example", "role": "owner"})
    assert set(answer.context["form"].errors) == {"role"}


def test_change_role_and_remove(acme, page, member):
    user = member(Role.VIEWER)
    assert page.post(f"/members/{user.pk}/", {"role": "developer"})["Location"] == "/members/"
    assert role_of(user, acme) == Role.DEVELOPER
    assert page.post(f"/members/{user.pk}/remove/")["Location"] == "/members/"
    assert role_of(user, acme) is None


def test_the_last_owner_is_protected(acme, owner, page):
    refused = page.post(f"/members/{owner.pk}/", {"role": "viewer"})
    assert (refused.status_code, "Make another member an owner first" in refused.content.decode()) == (
        422,
        True,
    )
    assert page.post(f"/members/{owner.pk}/remove/").status_code == 302
    assert role_of(owner, acme) == Role.OWNER
    assert f'remove-{owner.pk}"' not in page.get("/members/").content.decode()


def test_a_viewer_may_leave_but_remove_nobody(acme, owner, member):
    user = member(Role.VIEWER)
    page = page_of(user)
    page.post(f"/members/{owner.pk}/remove/")
    assert role_of(owner, acme) == Role.OWNER
    page.post(f"/members/{user.pk}/remove/")
    assert role_of(user, acme) is None
    assert page.get("/members/")["Location"] == "/organizations/new/?next=%2Fmembers%2F"
    assert "You belong to no organization" in page.get("/organizations/new/").content.decode()


def test_settings_of_the_organization(acme, page, member):
    page.post("/settings/", {"name": "Acme Ltd", "email": "money@acme.example"})
    with tenancy.tenant(acme):
        acme.refresh_from_db()
    assert (acme.name, acme.email) == ("Acme Ltd", "money@acme.example")
    wrong = page.post("/settings/", {"name": "", "email": "nonsense"})
    assert (wrong.status_code, set(wrong.context["form"].errors)) == (422, {"name", "email"})
    assert (
        page_of(member(Role.VIEWER)).post("/settings/", {"name": "x", "email": "a@b.example"}).status_code
        == 403
    )


def test_profile(owner, page):
    page.post("/settings/profile/", {"full_name": "Olga B", "time_zone": "UTC"})
    owner.refresh_from_db()
    assert owner.full_name == "Olga B"


def test_end_api_log_ins(owner, page):
    caller = api_of(owner)
    path = "/settings/security/api-log-ins/end/"
    asked = page.post(path)
    assert (
        asked["Location"].startswith("/accounts/reauthenticate/") and caller.get("auth/me").status_code == 200
    )
    page.post(f"/accounts/reauthenticate/?next={path}", {"password": PASSWORD})  # goes on with what was asked
    assert caller.get("auth/me").status_code == 401
    assert not TokenFamily.objects.filter(revoked_at=None).exists()


def test_switch_organization(acme, globex, owner, page):
    second = founded("Second", owner)
    assert "Second" not in page.get("/settings/").content.decode().partition("<main")[2]
    answer = page.post("/organizations/switch/", {"organization": second.pk, "next": "/settings/"})
    assert answer["Location"] == "/settings/"
    assert "Second" in page.get("/settings/").content.decode().partition("<main")[2]
    assert page.post("/organizations/switch/", {"organization": globex.pk}).status_code == 404
    assert page.post("/organizations/switch/", {"organization": "nonsense"}).status_code == 404
    away = page.post("/organizations/switch/", {"organization": acme.pk, "next": "https://evil.example/"})
    assert away["Location"] == DASHBOARD


def test_the_link_of_a_mail_opens_in_the_organization_that_it_is_about(acme, globex, owner, page):
    """It led to "Page not found", or, worse, to the same page of another organization: "no keys" was false relief."""
    second = founded("Second", owner)
    link = mail_links.page("api-keys", organization=second).removeprefix(settings.PUBLIC_URL)
    answer = page.get(f"{link}&show=all", follow=True)
    assert answer.redirect_chain == [("/api-keys/?show=all", 302)]
    assert answer.wsgi_request.organization == second
    assert "You switched to Second" in answer.content.decode()
    again = page.get(link, follow=True)  # it is so already: nothing is said
    assert again.wsgi_request.organization == second and "You are in" not in again.content.decode()
    for stranger in (globex.pk, "nonsense", ""):
        assert (
            page.get(f"/api-keys/?organization={stranger}", follow=True).wsgi_request.organization == second
        )


def test_the_link_of_a_mail_survives_the_log_in(acme, owner, client):
    second = founded("Second", owner)
    link = mail_links.page("members", organization=second).removeprefix(settings.PUBLIC_URL)
    asked = client.get(link)
    answer = client.post(asked["Location"], {"login": owner.email, "password": PASSWORD}, follow=True)
    assert (answer.wsgi_request.path, answer.wsgi_request.organization) == ("/members/", second)


def test_a_session_forgets_an_organization_that_was_left(acme, globex, owner, page):
    with tenancy.system("test"):
        membership = Membership.objects.create(organization=globex, user=owner, role=Role.VIEWER)
    page.post("/organizations/switch/", {"organization": globex.pk})
    with tenancy.system("test"):
        membership.delete()
    assert "Acme" in page.get("/settings/").content.decode()


def test_new_organization(owner, page):
    assert page.post("/organizations/new/", {"name": "Third"})["Location"] == DASHBOARD
    assert "Third" in page.get("/settings/").content.decode().partition("<main")[2]
    assert page.post("/organizations/new/", {"name": ""}).status_code == 422


def test_audit_shows_and_filters(acme, globex, owner, page):
    page.post("/settings/", {"name": "Acme Ltd", "email": "money@acme.example"})
    new_key(page)
    text = page.get("/audit/").content.decode()
    for words in ("API key created", "Organization updated", "Acme → Acme Ltd", "127.0.0.1", owner.email):
        assert words in text
    assert "Globex" not in text
    filtered = page.get("/audit/?about=api_key").content.decode().partition("<tbody")[2]
    assert "API key created" in filtered
    assert "Organization updated" not in filtered
    assert "Nothing matches" in page.get("/audit/?q=nobody").content.decode()
    assert "Nothing matches" in page.get("/audit/?until=2020-01-01").content.decode()
    assert page.get("/audit/?since=nonsense&cursor=nonsense&limit=nonsense").status_code == 200


def test_audit_pages_by_cursor(acme, page):
    for number in range(30):
        with tenancy.tenant(acme):
            from accounts import audit

            audit.record(action=f"thing.done_{number:02}", organization=acme)
    first = page.get("/audit/")
    older = page.get(f"/audit/?cursor={first.context['page'].next}")
    assert [row["entry"].action for row in older.context["rows"]][:2] == ["thing.done_04", "thing.done_03"]
    newer = page.get(f"/audit/?cursor={older.context['page'].previous}")
    assert [row["entry"].pk for row in newer.context["rows"]] == [
        row["entry"].pk for row in first.context["rows"]
    ]


def test_things_of_another_organization_are_404(acme, globex, owner, stranger, page):
    key_of(globex, Scope.USAGE_READ)
    with tenancy.tenant(globex):
        key = ApiKey.objects.get()
        invitation = invitations.invite(
            organization=globex,
            email="new@globex.example",
            role="viewer",
            invited_by=stranger,
            now=timezone.now(),
        )
    for path, body in (
        (f"/api-keys/{key.pk}/revoke/", {}),
        (f"/api-keys/{key.pk}/rotate/", {"grace_seconds": "0"}),
        (f"/members/{stranger.pk}/", {"role": "viewer"}),
        (f"/members/{stranger.pk}/remove/", {}),
        (f"/members/invitations/{invitation.pk}/withdraw/", {}),
        (f"/members/{uuid4()}/", {"role": "viewer"}),
    ):
        assert page.post(path, body).status_code == 404, path
    assert page.get(f"/members/{stranger.pk}/").status_code == 404
    for path in PAGES:
        text = page.get(path).content.decode()
        assert "globex" not in text.lower(), path
        assert str(key.pk) not in text
    assert actions(globex)[-1] == "invitation.created"


def test_pages_of_allauth_know_the_organization(page):
    assert "Acme" in page.get("/accounts/sessions/").content.decode()


def test_the_tab_of_a_page_below_it_is_marked(page):
    tabs = (
        page.get("/settings/security/activity/").content.decode().split('class="tabs"')[1].split("</nav>")[0]
    )
    assert '<a href="/settings/security/" aria-current="true">' in tabs
    assert tabs.count("aria-current") == 1
