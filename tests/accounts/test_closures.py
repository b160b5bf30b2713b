"""Closing an account: proven, undone for two weeks, and never while nobody could end what is charged."""

from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import get_user
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import closures, memberships, registration, tasks, tokens
from accounts.charges import Charge
from accounts.models import AccountClosure, Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import outbox, tenancy
from tests.accounts.closing import CLOSE, ask, later, made_key, mails_to, proven, shop
from tests.accounts.conftest import (
    PASSWORD,
    Api,
    actions,
    founded,
    join,
    page_of,
    path_in_mail,
    person,
    role_of,
)
from tests.accounts.test_races import at_once, kinds

__all__ = ["shop"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_must_find_another_owner_is_led_to_the_members_of_that_very_organization() -> None:
    """The link led to the members of whichever organization was current."""
    ada = person("ada@acme.example")
    lonely = founded("Lonely", ada)
    shared = founded("Shared", ada)
    join(shared, "bob@acme.example", Role.VIEWER)
    client = page_of(ada)
    client.post("/organizations/switch/", {"organization": str(lonely.pk)})
    page = client.get(CLOSE).content.decode()
    link = f"/members/?organization={shared.pk}"
    assert (
        f'href="{link}"' in page and str(lonely.pk) not in page.partition("<table")[2].partition("</table")[0]
    )
    assert "bob@acme.example" in client.get(link, follow=True).content.decode()


def test_closing_needs_proof_and_the_typed_address(acme, owner):
    """H4: a typed address was all that it took."""
    assert (
        page_of(owner).post(CLOSE, {"email": owner.email})["Location"].startswith("/accounts/reauthenticate/")
    )
    client = proven(owner)
    assert client.post(CLOSE, {"email": "else@acme.example"}).status_code == 422
    assert not AccountClosure.objects.exists()
    assert client.post(CLOSE, {"email": "Olga@acme.example"})["Location"] == "/settings/profile/"
    assert "Your account closes on" in client.get("/settings/profile/").content.decode()
    assert mails_to(owner.email)[-1].startswith("Your account will be closed on ")


def test_nothing_ends_for_two_weeks_and_the_mail_undoes_it(acme, owner):
    key = made_key(acme, owner)
    closure = ask(owner)
    assert closure.closes_at - closure.asked_at == timedelta(days=14)
    assert tasks.close_accounts() == 0
    assert Api(key).get("organizations").status_code == 200
    link = path_in_mail(owner.email, "account-closing")
    assert "Keep your account?" in Client().get(link).content.decode()
    closure.refresh_from_db()
    assert closure.is_pending  # programs that look at mails open links
    assert "stays open" in Client().post(link).content.decode()
    assert mails_to(owner.email)[-1] == "Your account stays open"
    assert Client().get(link).status_code == 410
    assert later(closure) == 0
    owner.refresh_from_db()
    assert owner.is_active


def test_a_person_who_is_logged_in_keeps_the_account_too(acme, owner):
    ask(owner)
    client = page_of(owner)
    client.post("/settings/profile/keep/")
    assert closures.pending(user=owner) is None
    assert "See first what it means" in client.get("/settings/profile/").content.decode()


def test_after_two_weeks_everything_of_the_person_ends(acme, owner):
    key = made_key(acme, owner)
    pair = tokens.log_in(user=owner, ip_address=None, user_agent="", now=timezone.now())
    client = page_of(owner)
    SocialAccount.objects.create(user=owner, provider="github", uid="1")
    assert later(ask(owner)) == 1
    assert tasks.close_accounts() == 0

    owner.refresh_from_db()
    assert (owner.is_active, owner.email) == (False, f"{owner.pk}@closed.invalid")
    assert get_user(client).is_anonymous
    assert not SocialAccount.objects.exists()
    with pytest.raises(tokens.InvalidToken):
        tokens.authenticate(pair.access_token)
    assert Api(key).get("organizations").status_code == 401
    with tenancy.system("test"):
        acme.refresh_from_db()
    assert acme.suspended_at is not None
    assert actions(acme)[-3:] == ["member.left", "api_key.revoked", "organization.suspended"]
    assert mails_to("olga@acme.example")[-1] == "Your account has been closed"


def test_the_address_is_free_again(acme, owner):
    """H4: registering again was refused for ever."""
    later(ask(owner))
    again = registration.register(
        email="olga@acme.example",
        password=PASSWORD,
        full_name="Olga",
        organization_name="",
        now=timezone.now(),
    )
    assert again.pk != owner.pk
    assert memberships.find(again, None).organization != acme


def test_what_is_charged_ends_only_by_agreement(acme, owner, shop):
    """H4: Pro and a license went on being charged, with nobody who could cancel them."""
    ends_at = timezone.now() + timedelta(days=20)
    shop.sold[acme.pk] = [Charge("Pro", ends_at), Charge("NextPanel", None)]
    with pytest.raises(closures.StillCharged, match="Pro of Acme, NextPanel of Acme"):
        ask(owner)
    client = proven(owner)
    page = client.get(CLOSE).content.decode()
    assert f"End Pro on {ends_at:%b} {ends_at.day}, {ends_at.year} and NextPanel now" in page
    refused = client.post(CLOSE, {"email": owner.email})
    assert (refused.status_code, list(refused.context["form"].errors)) == (422, ["end_charges"])
    assert shop.sold
    assert client.post(CLOSE, {"email": owner.email, "end_charges": "on"}).status_code == 302
    assert not shop.sold
    outbox.sweep()
    assert "- Pro (Acme)" in mail.outbox[-1].body
    assert later(closures.pending(user=owner)) == 1


def test_who_belongs_to_many_organizations_reads_what_matters_of_closing_and_a_number(acme, owner, shop):
    """Each was a row and several queries, however many there were; now what must be decided comes first."""
    with tenancy.system("test"):
        others = person("others@acme.example")
        for number in range(25):
            left = Organization.objects.create(name=f"A {number:02}", email="a@acme.example")
            Membership.objects.create(organization=left, user=owner, role=Role.VIEWER)
            Membership.objects.create(organization=left, user=others, role=Role.OWNER)
        stuck = Organization.objects.create(name="Z stuck", email="z@acme.example")
        Membership.objects.create(organization=stuck, user=owner, role=Role.OWNER)
        Membership.objects.create(organization=stuck, user=others, role=Role.VIEWER)
        paid = founded("Y paid", owner)
    shop.sold[paid.pk] = [Charge("Pro", None)]
    page = proven(owner).get(CLOSE)
    named = [each.organization.name for each in page.context["consequences"]]
    assert named == ["Z stuck", "Y paid", "Acme", *[f"A {number:02}" for number in range(17)]]
    assert "And 8 more organizations." in page.content.decode() and page.context["is_stuck"]
    with tenancy.system("test"):
        Membership.objects.filter(organization=stuck, user=others).update(role=Role.OWNER)
    with pytest.raises(closures.StillCharged, match="Pro of Y paid"):
        ask(owner)
    assert later(ask(owner, end_charges=True)) == 1
    with tenancy.system("test"):
        kept = Membership.objects.filter(user=owner).values_list("organization__name", flat=True)
        assert set(kept) == {"Acme", "Y paid"}


def test_what_was_bought_during_the_two_weeks_keeps_the_account_open(acme, owner, shop):
    closure = ask(owner)
    shop.sold[acme.pk] = [Charge("Pro", None)]
    assert later(closure) == 0
    owner.refresh_from_db()
    closure.refresh_from_db()
    assert (owner.is_active, closure.is_pending) == (True, False)
    assert mails_to(owner.email)[-1] == "We could not close your account"


def test_what_is_bought_while_the_account_closes_is_ended(acme, owner, shop):
    """A payment page that was open is paid a minute after the last owner left."""
    later(ask(owner))
    shop.sold[acme.pk] = [Charge("Pro", None)]
    tasks.close_accounts()
    assert not shop.sold


def test_an_owner_on_whom_others_depend_makes_another_owner_first(acme, owner, member):
    admin = member(Role.ADMIN)
    with pytest.raises(memberships.LastOwner, match="Acme"):
        ask(owner)
    page = proven(owner).get(CLOSE).content.decode()
    assert "You cannot close your account yet" in page
    with tenancy.system("test"):
        Membership.objects.filter(user=admin).update(role=Role.OWNER)
    closure = ask(owner)
    with tenancy.system("test"):
        Membership.objects.filter(user=admin).update(role=Role.ADMIN)
    assert later(closure) == 0  # it was so when it was asked for, and is not any more
    owner.refresh_from_db()
    assert owner.is_active


def test_who_is_not_alone_leaves_and_the_others_hear_of_the_keys(acme, owner, member, shop):
    developer = member(Role.DEVELOPER)
    key = made_key(acme, developer)
    shop.sold[acme.pk] = [Charge("Pro", None)]  # the others can end it
    later(ask(developer))
    assert role_of(developer, acme) is None
    assert Api(key).get("organizations").status_code == 200
    with tenancy.system("test"):
        acme.refresh_from_db()
    assert acme.suspended_at is None
    of_the_key, of_leaving = mails_to(owner.email)
    assert of_the_key.startswith("An API key was created")
    assert of_leaving == "developer@acme.example has left Acme"


def test_a_person_without_an_organization_may_close(stranger):
    page = proven(stranger).get(CLOSE).content.decode()
    assert "You belong to no organization" in page
    assert later(ask(stranger)) == 1


def test_asking_twice_and_closing_at_once_happens_once(acme, owner):
    assert kinds(at_once(*[lambda: ask(owner)] * 3)) == ["AccountClosure"] * 3
    assert AccountClosure.objects.count() == 1
    AccountClosure.objects.update(closes_at=timezone.now())
    assert sorted(at_once(*[tasks.close_accounts] * 3)) == [0, 0, 1]
    assert mails_to("olga@acme.example").count("Your account has been closed") == 1


def test_undone_at_the_last_moment_or_closed_but_never_both(acme, owner):
    closure = ask(owner)
    AccountClosure.objects.update(closes_at=timezone.now())
    at_once(tasks.close_accounts, lambda: closures.undo(closure=closure, now=timezone.now()))
    owner.refresh_from_db()
    closure.refresh_from_db()
    assert owner.is_active == (closure.closed_at is None) == (closure.withdrawn_at is not None)


def test_two_owners_who_close_at_once_leave_an_organization_that_is_suspended(acme, owner):
    second = join(acme, "second@acme.example", Role.OWNER)
    for user in (owner, second):
        ask(user)
    AccountClosure.objects.update(closes_at=timezone.now())
    at_once(*[tasks.close_accounts] * 2)
    with tenancy.system("test"):
        acme.refresh_from_db()
        assert acme.suspended_at is not None
    assert User.objects.filter(is_active=True, pk__in=[owner.pk, second.pk]).count() == 0


def test_every_page_says_that_the_account_closes_and_how_to_keep_it(acme, owner):
    client = page_of(owner)
    pages = ["/dashboard/", "/usage/", "/settings/security/", "/accounts/sessions/"]
    for path in pages:
        assert "Your account closes on" not in client.get(path).content.decode()
    closure = ask(owner)
    for path in pages:
        shown = client.get(path).content.decode()
        assert "Your account closes on" in shown, path
        assert 'action="/settings/profile/keep/"' in shown
    client.post("/settings/profile/keep/")
    closure.refresh_from_db()
    assert closure.withdrawn_at is not None
    assert "Your account closes on" not in client.get("/dashboard/").content.decode()
