"""Organizations: how many a person may own, and what suspending one ends."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import organizations
from accounts.models import ApiKey, Invitation, Membership
from accounts.roles import Role
from superagent.foundation import tenancy
from tests.accounts.closing import ask, later, made_key
from tests.accounts.conftest import actions, api_of, founded, page_of, person

pytestmark = pytest.mark.django_db(transaction=True)


def test_invitations_of_a_suspended_organization_are_withdrawn(acme, owner):
    with tenancy.system("test"):
        Invitation.objects.create(
            organization=acme, email="new@acme.example", role=Role.VIEWER, invited_by=owner,
            expires_at=timezone.now() + timedelta(days=1),
        )  # fmt: skip
    later(ask(owner))
    with tenancy.system("test"):
        assert Invitation.objects.get().revoked_at is not None


def test_suspending_twice_changes_nothing(acme, owner):
    made_key(acme, owner)
    with tenancy.system("test"):
        for _ in range(2):
            organizations.suspend(organization=acme, because="test", now=timezone.now())
        assert ApiKey.objects.get().revoked_at is not None
    assert actions(acme).count("organization.suspended") == 1


def test_a_person_owns_a_limited_number_of_organizations(owner, acme, monkeypatch):
    monkeypatch.setattr(organizations, "MAX_OWNED", 2)
    as_owner = api_of(owner)
    assert as_owner.post("organizations", {"name": "Second"}).status_code == 201
    refused = as_owner.post("organizations", {"name": "Third"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_organizations")
    page = page_of(owner).post("/organizations/new/", {"name": "Third"})
    assert (page.status_code, "A person may own 2" in page.content.decode()) == (422, True)


def test_membership_in_others_organizations_does_not_count(acme, member, monkeypatch):
    monkeypatch.setattr(organizations, "MAX_OWNED", 1)
    assert founded("Mine", member(Role.ADMIN)).name == "Mine"


@pytest.mark.django_db(transaction=True)
def test_the_limit_of_organizations_holds_for_requests_at_once(monkeypatch):
    monkeypatch.setattr(organizations, "MAX_OWNED", 2)
    owner = person("olga@acme.example")
    start = threading.Barrier(4)

    def found() -> None:
        start.wait()
        try:
            founded("Another", owner)
        except organizations.TooManyOrganizations:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=found) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with tenancy.system("test"):
        assert Membership.objects.filter(user=owner, role=Role.OWNER).count() == 2
