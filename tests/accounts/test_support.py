"""What staff do to a person's account: for a reason, in the audit trail, mailed to the person (M4)."""

import re
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts import closures, email_changes, notifications, organizations, rights_guard, support
from accounts.models import AccountClosure, AuditEntry, Membership, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import PASSWORD, api_of, page_of, person
from tests.fixtures.staff import with_second_factor


@pytest.fixture
def helper(db) -> Client:
    user = person("support@superagent.example", is_staff=True)
    with tenancy.system("test"):
        user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    return page_of(user)


def act(client: Client, who: User, name: str, reason: str = "Asked by phone") -> str:
    answer = client.post(f"/admin/accounts/user/{who.pk}/acts/{name}/", {"reason": reason}, follow=True)
    return answer.content.decode()


def entry(action: str) -> AuditEntry:
    with tenancy.system("test"):
        return AuditEntry.objects.get(action=action)


def mails_to(address: str) -> list[dict]:
    with tenancy.system("test"):
        payloads = OutboxMessage.objects.filter(topic="accounts.send_mail").values_list("payload", flat=True)
        return [mail for mail in payloads.order_by("created_at") if mail["to"] == [address]]


@pytest.mark.parametrize("name", ["reset-link", "email", "second-factor", "deactivate", "reactivate"])
def test_each_needs_a_reason(helper, owner, name):
    User.objects.filter(pk=owner.pk).update(is_active=name != "reactivate")
    assert "This field is required" in act(helper, owner, name, reason="  ")
    with tenancy.system("test"):
        assert not AuditEntry.objects.filter(action__endswith="_by_staff").exists()


def test_a_reset_link_is_mailed_and_the_password_stays(helper, owner):
    act(helper, owner, "reset-link")
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)
    mail = mails_to(owner.email)[-1]
    assert mail["template"] == "accounts/email/reset_password"
    assert mail["context"]["link"] == {"link_to": "reset_password", "id": str(owner.pk)}
    told = notifications.render(
        mail["template"], mail["to"], mail["context"] | {"link": "https://example.com/x"}
    )
    assert "Our support sent you this link" in told.body and "Someone (probably you)" not in told.body
    made = entry("user.reset_link_sent_by_staff")
    assert (made.actor_label, made.detail) == ("support@superagent.example", {"reason": "Asked by phone"})


def test_the_page_of_a_person_says_first_how_they_log_in(helper, owner):
    """What somebody on the telephone asks about: the address, a change that hangs, the second factor, a closing."""

    def page() -> str:
        html = helper.get(f"/admin/accounts/user/{owner.pk}/change/").content.decode()
        return " ".join(re.sub(r"<[^>]+>", " ", html).split())

    for words in ("Address: Confirmed", "None pending", "Two-step login: Off", "Not requested"):
        assert words in page(), words
    now = timezone.now()
    with_second_factor(owner)
    EmailAddress.objects.filter(user=owner).update(verified=False)
    with tenancy.system("test"):
        email_changes.ask(user=owner, new_email="olga@new.example", now=now)
        closure = AccountClosure.objects.create(user=owner, asked_at=now, closes_at=now + timedelta(days=14))
    for words in (
        "Address: Not confirmed",
        "To olga@new.example, waiting",
        "Two-step login: TOTP",
        "Closes on",
    ):
        assert words in page(), words
    html = helper.get(f"/admin/accounts/user/{owner.pk}/change/").content.decode()
    assert f"/admin/accounts/accountclosure/{closure.pk}/change/" in html


def test_an_address_is_changed_only_by_its_mailboxes(helper, owner):
    """M4: staff's change split the identity: the web knew both addresses, the API the new one only."""
    path = f"/admin/accounts/user/{owner.pk}/acts/email/"
    answer = helper.post(path, {"new_email": "not an address", "reason": "x"})
    assert "Enter a valid email address" in answer.content.decode()
    answer = helper.post(path, {"new_email": owner.email, "reason": "x"}, follow=True)
    assert "This is the address of the account already" in answer.content.decode()
    helper.post(path, {"new_email": "olga@new.example", "reason": "Left the old company"})
    owner.refresh_from_db()
    assert owner.email == "olga@acme.example"  # until the new mailbox has confirmed
    made = entry("user.email_change_asked")
    assert (made.actor_label, made.detail) == (
        "support@superagent.example",
        {"reason": "Left the old company", "from": "olga@acme.example", "to": "olga@new.example"},
    )
    assert mails_to("olga@new.example")[-1]["template"] == "accounts/email/email_change_confirm"
    assert mails_to("olga@acme.example")[-1]["template"] == "accounts/email/email_change_answer"


def test_removing_the_second_factor_ends_all_log_ins_and_is_told(helper, owner, acme):
    with_second_factor(owner)
    program, browser = api_of(owner), Client()
    browser.post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    portal = page_of(owner)
    portal.get("/dashboard/")
    act(helper, owner, "second-factor")
    with tenancy.system("test"):
        assert not Authenticator.objects.filter(user=owner).exists()
    assert program.get("auth/me").status_code == 401
    assert entry("user.second_factor_removed_by_staff").detail == {
        "reason": "Asked by phone",
        "removed": ["totp"],
    }
    told = mails_to(owner.email)[-1]["context"]
    assert told["what"].startswith("Our support turned off two-step login for your account")
    assert told["reason"] == "Asked by phone"
    assert "has no second factor" in act(helper, owner, "second-factor")


def test_deactivating_and_reactivating(helper, owner, acme):
    program = api_of(owner)
    act(helper, owner, "deactivate")
    owner.refresh_from_db()
    assert not owner.is_active
    assert program.get("auth/me").status_code == 401
    assert "deactivated your account" in mails_to(owner.email)[-1]["context"]["what"]
    act(helper, owner, "reactivate")
    owner.refresh_from_db()
    assert owner.is_active
    assert "reactivated your account" in mails_to(owner.email)[-1]["context"]["what"]
    assert entry("user.deactivated_by_staff").detail == entry("user.reactivated_by_staff").detail


def test_nobody_uses_it_on_themselves(owner):
    with rights_guard.opened():
        User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    owner.refresh_from_db()
    client = page_of(owner)
    for name in ("reset-link", "email", "second-factor", "deactivate"):
        assert (
            client.post(f"/admin/accounts/user/{owner.pk}/acts/{name}/", {"reason": "x"}).status_code == 403
        )


def test_looking_at_people_is_not_helping_them(owner):
    looker = person("looker@superagent.example", is_staff=True)
    with tenancy.system("test"):
        looker.user_permissions.set(Permission.objects.filter(codename="view_user"))
    client = page_of(looker)
    page = client.get(f"/admin/accounts/user/{owner.pk}/change/")
    assert page.status_code == 200
    assert "acts/" not in page.content.decode()
    assert (
        client.post(f"/admin/accounts/user/{owner.pk}/acts/deactivate/", {"reason": "x"}).status_code == 403
    )


# --- Closing accounts, and organizations without an owner ---


def close(user: User, *, after: timedelta = timedelta(0)) -> AccountClosure:
    """Asked for; with `after`, so long ago that the job has carried it out."""
    closure = closures.ask(user=user, end_charges=False, now=timezone.now() - after)
    closures.close_due(now=timezone.now())
    closure.refresh_from_db()
    return closure


def test_staff_keep_an_account_that_is_closing_and_the_person_is_told(helper, acme, owner):
    closure = close(owner)
    address = f"/admin/accounts/accountclosure/{closure.pk}/"
    _allowed(helper, "view_accountclosure")
    assert owner.email in helper.get("/admin/accounts/accountclosure/").content.decode()
    assert "Keep the account" in helper.get(f"{address}change/").content.decode()
    assert "This field is required" in helper.post(f"{address}acts/keep/", {"reason": " "}).content.decode()
    helper.post(f"{address}acts/keep/", {"reason": "Asked by phone"})
    closure.refresh_from_db()
    assert closure.withdrawn_at is not None
    kept = entry("user.closing_undone_by_staff")
    assert (kept.target_id, kept.detail["reason"]) == (str(owner.pk), "Asked by phone")
    assert mails_to(owner.email)[-1]["context"]["reason"] == "Asked by phone"
    assert helper.get(f"{address}acts/keep/").status_code == 403  # nothing is waiting any more


def test_staff_who_may_only_look_keep_no_account(acme, owner):
    closure = close(owner)
    watcher = person("watcher@superagent.example", is_staff=True)
    client = _allowed(page_of(watcher), "view_accountclosure", watcher)
    address = f"/admin/accounts/accountclosure/{closure.pk}/"
    assert client.get(f"{address}change/").status_code == 200
    assert client.post(f"{address}acts/keep/", {"reason": "Why not"}).status_code == 403
    closure.refresh_from_db()
    assert closure.is_pending


def test_a_suspended_organization_is_given_to_a_new_owner(acme, owner, stranger, globex):
    close(owner, after=timedelta(days=15))
    client = _allowed(*_staff("view_organization", "change_organization"))
    address = f"/admin/accounts/organization/{acme.pk}/acts/reinstate/"
    wanted = {"owner_email": stranger.email.upper(), "reason": "Stefan took the company over"}
    nobody = client.post(address, wanted | {"owner_email": "nobody@acme.example"})
    assert "No active account has confirmed this address" in nobody.content.decode()
    assert client.post(address, wanted).status_code == 302
    with tenancy.system("test"):
        acme.refresh_from_db()
        assert Membership.objects.get(organization=acme, user=stranger).role == Role.OWNER
    assert acme.suspended_at is None
    assert entry("organization.reinstated_by_staff").detail == {
        "reason": wanted["reason"],
        "owner": stranger.email,
    }
    assert wanted["reason"] == mails_to(stranger.email)[-1]["context"]["reason"]
    assert wanted["reason"] == mails_to("olga@acme.example")[-1]["context"]["reason"]  # the billing address
    assert client.post(address, wanted).status_code == 403  # it has an owner now


def test_an_organization_is_reinstated_once_and_for_a_confirmed_address_only(acme, owner, globex, stranger):
    unconfirmed = person("new@engines.example", verified=False)
    by = person("root@superagent.example", is_staff=True, is_superuser=True)
    with tenancy.system("test"):
        wanted = {"organization": acme, "by": by, "reason": "Test", "now": timezone.now()}
        with pytest.raises(support.NotSuspended):
            support.reinstate(owner_email=stranger.email, **wanted)
        organizations.suspend(organization=acme, because="test", now=timezone.now())
        with pytest.raises(support.NoOwner):
            support.reinstate(owner_email=unconfirmed.email, **wanted)
        assert support.reinstate(owner_email=stranger.email, **wanted).role == Role.OWNER


def _staff(*codenames: str) -> tuple[Client, str, User]:
    user = person("desk@superagent.example", is_staff=True)
    client = page_of(user)
    for codename in codenames[1:]:
        _allowed(client, codename, user)
    return client, codenames[0], user


def _allowed(client: Client, codename: str, user: User | None = None) -> Client:
    with tenancy.system("test"):
        person_ = user or User.objects.get(email="support@superagent.example")
        person_.user_permissions.add(Permission.objects.get(codename=codename))
    return client
