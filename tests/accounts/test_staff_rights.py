"""Who may do what in the admin: only superusers give rights, nobody to themselves, and every superuser is told (H1)."""

import threading

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection

from accounts import staff_rights
from accounts.models import AuditEntry, User
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from superagent.foundation.problems import Forbidden, Invalid
from tests.accounts.conftest import page_of, person

NONE = {"is_staff": False, "is_superuser": False, "groups": [], "permissions": []}


@pytest.fixture
def root(db) -> User:
    return person("root@superagent.example", is_staff=True, is_superuser=True)


@pytest.fixture
def support(db) -> User:
    """May look at users and change them: what made a superuser of anybody."""
    user = person("support@superagent.example", is_staff=True)
    with tenancy.system("test"):
        user.user_permissions.set(
            Permission.objects.filter(codename__in=["view_user", "change_user", "view_group", "change_group"])
        )
    return user


def rights(user: User) -> dict[str, object]:
    with tenancy.system("test"):
        return staff_rights.of(User.objects.get(pk=user.pk))


def made_group(name: str) -> Group:
    with tenancy.system("test"):
        return Group.objects.create(name=name)


def permission_to(codename: str) -> Permission:
    with tenancy.system("test"):
        return Permission.objects.get(codename=codename)


def mailed(template: str = "accounts/email/staff_change") -> dict[str, dict[str, object]]:
    with tenancy.system("test"):
        payloads = OutboxMessage.objects.filter(topic="accounts.send_mail").values_list("payload", flat=True)
        return {mail["to"][0]: mail["context"] for mail in payloads if mail["template"] == template}


def test_editing_users_does_not_make_a_superuser(support, settings):
    """H1: he posted his own user form with is_superuser=on."""
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = None  # every permission there is, twice
    before = rights(support)
    client = page_of(support)
    group = made_group("Everything")
    with tenancy.system("test"):
        every_permission = list(Permission.objects.values_list("pk", flat=True))
    wanted = {
        "is_staff": "on", "is_superuser": "on", "groups": [group.pk], "reason": "x", "full_name": "S",
        "user_permissions": every_permission, "permissions": every_permission[:100],
        "memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0,
    }  # fmt: skip
    own = f"/admin/accounts/user/{support.pk}"
    assert client.post(f"{own}/change/", wanted).status_code == 403
    assert client.post(f"{own}/acts/rights/", wanted).status_code == 403
    assert rights(support) == before
    friend = person("friend@acme.example")
    assert client.post(f"/admin/accounts/user/{friend.pk}/change/", wanted).status_code == 302
    assert client.post(f"/admin/accounts/user/{friend.pk}/acts/rights/", wanted).status_code == 403
    assert rights(friend) == {"staff": False, "superuser": False, "groups": [], "permissions": []}


def test_groups_are_for_superusers(support, root):
    group = made_group("Support")
    for path in ("/admin/auth/group/", "/admin/auth/group/add/", f"/admin/auth/group/{group.pk}/change/"):
        assert page_of(support).get(path).status_code == 403
        assert page_of(support).post(path, {"name": "x", "reason": "x"}).status_code == 403
        assert page_of(root).get(path).status_code == 200


def test_accounts_of_staff_are_for_superusers(support, root):
    client = page_of(support)
    for act in ("rights", "reset-link", "second-factor", "deactivate", "reactivate"):
        path = f"/admin/accounts/user/{root.pk}/acts/{act}/"
        assert client.get(path).status_code == 403
        assert client.post(path, {"reason": "x"}).status_code == 403
    path = f"/admin/accounts/user/{root.pk}/change/"
    assert client.get(path).status_code == 200  # looking is allowed
    assert client.post(path, {"full_name": "Pwned", "reason": "x"}).status_code == 403
    root.refresh_from_db()
    assert (root.full_name, root.is_active) == ("Root", True)


def test_a_superuser_gives_rights_with_a_reason_and_every_superuser_is_told(root, support):
    other = person("other@superagent.example", is_staff=True, is_superuser=True)
    gone = person("gone@superagent.example", is_staff=True, is_superuser=True, is_active=False)
    colleague = person("new@superagent.example")
    group, permission = made_group("Support"), permission_to("view_usageevent")
    client = page_of(root)
    path = f"/admin/accounts/user/{colleague.pk}/acts/rights/"
    body = {"is_staff": "on", "groups": [group.pk], "permissions": [permission.pk]}
    assert "This field is required" in client.post(path, body).content.decode()
    assert rights(colleague)["staff"] is False
    assert client.post(path, body | {"reason": "Joins support"}).status_code == 302
    assert rights(colleague) == {
        "staff": True,
        "superuser": False,
        "groups": ["Support"],
        "permissions": ["metering.view_usageevent"],
    }
    with tenancy.system("test"):
        entry = AuditEntry.objects.get(action="user.rights_changed")
    assert (entry.actor_label, entry.target_label) == (root.email, colleague.email)
    assert entry.detail == {
        "reason": "Joins support",
        "changes": {
            "staff": {"from": False, "to": True},
            "groups": {"from": [], "to": ["Support"]},
            "permissions": {"from": [], "to": ["metering.view_usageevent"]},
        },
    }
    told = mailed()
    assert set(told) == {root.email, other.email, colleague.email}
    assert gone.email not in told
    assert told[other.email]["reason"] == "Joins support"
    assert {"name": "staff", "before": "no", "after": "yes"} in told[other.email]["changes"]


def test_nobody_changes_their_own_rights_not_even_a_superuser(root):
    assert page_of(root).get(f"/admin/accounts/user/{root.pk}/acts/rights/").status_code == 403
    with tenancy.system("test"), pytest.raises(Forbidden, match="Ask another superuser"):
        staff_rights.change(
            person=root, is_staff=True, is_superuser=True, groups=[], permissions=[], by=root, reason="x"
        )


def test_rights_need_a_confirmed_address_and_staff(root):
    stranger = person("stranger@superagent.example", verified=False)
    with tenancy.system("test"):
        with pytest.raises(Invalid, match="not confirmed"):
            staff_rights.change(person=stranger, by=root, reason="x", **NONE | {"is_staff": True})
        with pytest.raises(Invalid, match="Tick"):
            staff_rights.change(person=stranger, by=root, reason="x", **NONE | {"is_superuser": True})


def test_nothing_is_told_when_nothing_changes(root, support):
    with tenancy.system("test"):
        kept = {"groups": [], "permissions": list(support.user_permissions.all())}
        assert not staff_rights.change(
            person=support, is_staff=True, is_superuser=False, by=root, reason="x", **kept
        )
        assert not AuditEntry.objects.filter(action="user.rights_changed").exists()
    assert mailed() == {}


def test_a_change_of_a_group_is_told_too(root, support):
    permission = permission_to("view_usageevent")
    client = page_of(root)
    body = {"name": "Support", "permissions": [permission.pk], "reason": "New team"}
    assert client.post("/admin/auth/group/add/", body).status_code == 302
    with tenancy.system("test"):
        entry = AuditEntry.objects.get(action="group.made_by_staff")
        group = Group.objects.get(name="Support")
    assert entry.detail["reason"] == "New team"
    assert entry.detail["changes"]["permissions"] == {
        "from": None,
        "to": ["Metering | usage event | Can view usage event"],
    }
    assert mailed()[root.email]["subject_line"] == "The group Support was changed"
    assert client.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_two_superusers_cannot_take_each_others_rights_at_once():
    """One of them stays: otherwise nobody could give rights any more."""
    ada, bob = (
        person(f"{name}@superagent.example", is_staff=True, is_superuser=True) for name in ("ada", "bob")
    )
    barrier, refusals = threading.Barrier(2), []

    def take(by: User, whose: User) -> None:
        try:
            barrier.wait()
            with tenancy.system("test"):
                staff_rights.change(person=whose, by=by, reason="x", **NONE)
        except Forbidden as refusal:
            refusals.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=pair) for pair in ((ada, bob), (bob, ada))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 1
    with tenancy.system("test"):
        assert User.objects.filter(is_superuser=True).count() == 1
