"""An unconfirmed address makes nothing that lasts, and what was made before its confirmation ends with it."""

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import get_user
from django.test import Client
from django.utils import timezone

from accounts import api_keys, invitations, memberships, organizations, people, tokens, verification
from accounts.models import ApiKey, Invitation, Membership, User
from accounts.revocation import Keep
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, Api, api_of, founded, page_of, path_in_mail, person

pytestmark = pytest.mark.django_db(transaction=True)

NEW_PASSWORD = "an entirely new one"
KEY = {"name": "k", "scopes": ["usage:read"]}


@pytest.fixture
def newcomer(db) -> User:
    user = person("ceo@victim.example", verified=False)
    founded("Victim", user)
    return user


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
        key, _ = _key_of_before(organization, newcomer)
        with pytest.raises(people.EmailNotVerified):
            api_keys.create(
                organization=organization, name="k", scopes=[Scope.USAGE_READ], created_by=None,
                expires_at=None, now=timezone.now(), made_with=key.pk,
            )  # fmt: skip


def test_a_person_who_belongs_nowhere_may_make_the_first_organization(db):
    user = person("alone@victim.example", verified=False)
    made = organizations.create(name="First", owner=user, now=timezone.now())
    assert memberships.role_of(user, made) == Role.OWNER


def _key_of_before(organization, user):
    """As it could be made before an unconfirmed address was refused."""
    EmailAddress.objects.filter(user=user).update(verified=True)
    made = api_keys.create(
        organization=organization, name="k", scopes=list(Scope), created_by=user, expires_at=None,
        now=timezone.now(),
    )  # fmt: skip
    EmailAddress.objects.filter(user=user).update(verified=False)
    return made


class Attacker:
    """Signed up with somebody else's address, and has prepared everything to stay."""

    def __init__(self, user: User) -> None:
        self.organization = user.default_organization
        self.browser, self.tokens = (
            page_of(user),
            tokens.log_in(user=user, ip_address=None, user_agent="", now=timezone.now()),
        )
        with tenancy.tenant(self.organization):
            self.key = _key_of_before(self.organization, user)[1]
        SocialAccount.objects.create(user=user, provider="github", uid="attacker")
        with tenancy.system("test"):
            Invitation.objects.create(
                organization=self.organization, email="evil@thief.example", role=Role.ADMIN, invited_by=user,
                expires_at=timezone.now() + invitations.LIFETIME,
            )  # fmt: skip

    def is_out(self) -> bool:
        with tenancy.system("test"):
            has_invitation = Invitation.objects.open(timezone.now()).exists()
        answers = [
            Api(self.tokens.access_token).get("auth/me").status_code,
            Api().post("auth/refresh", {"refresh_token": self.tokens.refresh_token}).status_code,
            Api(self.key).get("organizations").status_code,
        ]  # fmt: skip
        return (
            answers == [401, 401, 401]
            and get_user(self.browser).is_anonymous
            and not has_invitation
            and not SocialAccount.objects.filter(uid="attacker").exists()
        )


def test_a_reset_takes_the_account_from_who_signed_up_with_a_strangers_address(newcomer):
    """M1: the attacker's key opened the victim's account, billing too."""
    attacker = Attacker(newcomer)
    victim = Client()
    victim.post("/accounts/password/reset/", {"email": newcomer.email})
    form = victim.get(path_in_mail(newcomer.email, "password/reset/key"))["Location"]
    victim.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert people.has_verified_email(newcomer)  # the link came to that mailbox
    assert attacker.is_out()
    newcomer.refresh_from_db()
    assert newcomer.check_password(NEW_PASSWORD)


def test_the_first_confirmation_ends_what_was_made_before_but_not_this_session(newcomer):
    attacker = Attacker(newcomer)
    owner = page_of(newcomer)
    owner.post(path_in_mail_of_verification(newcomer))
    assert people.has_verified_email(newcomer)
    assert attacker.is_out()
    assert get_user(owner).pk == newcomer.pk


def path_in_mail_of_verification(user: User) -> str:
    page_of(user).post("/verify-email/")
    return path_in_mail(user.email, "confirm-email")


def test_a_confirmed_address_keeps_everything_at_a_reset(newcomer):
    organization = newcomer.default_organization
    with tenancy.tenant(organization):
        key = _key_of_before(organization, newcomer)[1]
    EmailAddress.objects.filter(user=newcomer).update(verified=True)
    client = Client()
    client.post("/accounts/password/reset/", {"email": newcomer.email})
    form = client.get(path_in_mail(newcomer.email, "password/reset/key"))["Location"]
    client.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert Api(key).get("organizations").status_code == 200


def test_the_connection_by_which_the_person_is_logged_in_stays(newcomer):
    SocialAccount.objects.create(user=newcomer, provider="github", uid="own")
    SocialAccount.objects.create(user=newcomer, provider="google", uid="other")
    verification.confirm(user=newcomer, keep=Keep(social_account=("github", "own")), now=timezone.now())
    assert list(SocialAccount.objects.values_list("uid", flat=True)) == ["own"]


def test_who_does_not_know_the_password_confirms_nobodys_account(newcomer):
    """An owner of the mailbox who opens every link must not make an attacker's account a confirmed one."""
    link = path_in_mail_of_verification(newcomer)
    for data in ({}, {"password": "not this"}):
        assert Client().post(link, data).status_code == 422
    assert not people.has_verified_email(newcomer)
    elsewhere = Client()
    elsewhere.post(link, {"password": PASSWORD})
    assert people.has_verified_email(newcomer)
    assert get_user(elsewhere).pk == newcomer.pk
    assert Client().get(link).status_code == 410


def test_an_invitations_link_confirms_the_address_it_was_sent_to(acme, owner):
    with tenancy.tenant(acme):
        invitations.invite(
            organization=acme,
            email="new@acme.example",
            role=Role.VIEWER,
            invited_by=owner,
            now=timezone.now(),
        )
    user = person("new@acme.example", verified=False)
    client = page_of(user)
    client.post(path_in_mail("new@acme.example", "invitations"))
    assert people.has_verified_email(user)
    assert memberships.role_of(user, acme) == Role.VIEWER
    assert get_user(client).pk == user.pk
