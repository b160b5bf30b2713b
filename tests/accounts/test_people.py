"""An unconfirmed address makes nothing that lasts."""

import pytest
from django.utils import timezone

from accounts import api_keys, organizations, people
from accounts.models import ApiKey, Invitation, Membership
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import api_of, page_of, person, role_of
from tests.accounts.newcomer import key_of_before, newcomer

__all__ = ["newcomer"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


KEY = {"name": "k", "scopes": ["usage:read"]}


def refused(answer) -> bool:
    body = answer.json()
    return (answer.status_code, body["code"], "Open the link" in body["detail"]) == (
        403, "email_not_verified", True
    )  # fmt: skip


def test_the_api_says_to_confirm_first(newcomer):
    """M1, M2: keys, invitations and further organizations need a confirmed address."""
    api, organization = api_of(newcomer), newcomer.default_organization
    assert refused(api.post("api-keys", KEY))
    assert refused(api.post("organizations", {"name": "Another"}))
    invitation = {"email": "x@y.example", "role": "viewer"}
    assert refused(api.post(f"organizations/{organization.pk}/invitations", invitation))
    with tenancy.system("test"):
        assert (ApiKey.objects.count(), Invitation.objects.count(), Membership.objects.count()) == (0, 0, 1)


def test_pages_lead_to_the_confirmation_and_back(newcomer):
    page = page_of(newcomer)
    for path in ("/api-keys/new/", "/members/invite/", "/organizations/new/"):
        for answer in (
            page.get(path),
            page.post(path, {"name": "x", "email": "x@y.example", "role": "viewer"}),
        ):
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/verify-email/"), path
    with tenancy.system("test"):
        assert (ApiKey.objects.count(), Invitation.objects.count(), Membership.objects.count()) == (0, 0, 1)


def test_a_key_of_an_unconfirmed_maker_makes_no_further_keys(newcomer):
    """Keys of before this rule."""
    organization = newcomer.default_organization
    with tenancy.tenant(organization):
        key, _ = key_of_before(organization, newcomer)
        with pytest.raises(people.EmailNotVerified):
            api_keys.create(
                organization=organization, name="k", scopes=[Scope.USAGE_READ], created_by=None,
                expires_at=None, now=timezone.now(), created_with=key.pk,
            )  # fmt: skip


def test_a_person_who_belongs_nowhere_may_make_the_first_organization(db):
    user = person("alone@victim.example", verified=False)
    made = organizations.create(name="First", owner=user, now=timezone.now())
    assert role_of(user, made) == Role.OWNER
