"""What staff do to a person's account: for a reason, in the audit trail, mailed to the person (M4)."""

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.test import Client

from accounts import rights_guard
from accounts.models import AuditEntry, User
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
    made = entry("user.reset_link_sent_by_staff")
    assert (made.actor_label, made.detail) == ("support@superagent.example", {"reason": "Asked by phone"})


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
    assert told["what"].startswith("Our support removed the two-step login from your account")
    assert told["reason"] == "Asked by phone"
    assert "has none" in act(helper, owner, "second-factor")


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
