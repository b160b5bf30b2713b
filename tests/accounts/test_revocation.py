"""What somebody else set up before an address was confirmed ends with its confirmation."""

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import get_user
from django.test import Client
from django.utils import timezone

from accounts import invitations, people, tokens, verification
from accounts.models import Invitation, User
from accounts.revocation import Keep
from accounts.roles import Role
from superagent.foundation import tenancy
from tests.accounts.conftest import Api, page_of, path_in_mail
from tests.accounts.newcomer import key_of_before, newcomer, path_in_mail_of_verification

__all__ = ["newcomer"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

NEW_PASSWORD = "an entirely new one"


class Attacker:
    """Signed up with somebody else's address, and has prepared everything to stay."""

    def __init__(self, user: User) -> None:
        self.organization = user.default_organization
        self.browser, self.tokens = (
            page_of(user),
            tokens.log_in(user=user, ip_address=None, user_agent="", now=timezone.now()),
        )
        with tenancy.tenant(self.organization):
            self.key = key_of_before(self.organization, user)[1]
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


def test_a_confirmed_address_keeps_everything_at_a_reset(newcomer):
    organization = newcomer.default_organization
    with tenancy.tenant(organization):
        key = key_of_before(organization, newcomer)[1]
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
