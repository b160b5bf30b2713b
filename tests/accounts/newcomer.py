"""A person whose address is not confirmed yet."""

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import api_keys
from accounts.models import User
from accounts.roles import Scope
from tests.accounts.conftest import founded, page_of, path_in_mail, person


@pytest.fixture
def newcomer(db) -> User:
    user = person("ceo@victim.example", verified=False)
    founded("Victim", user)
    return user


def key_of_before(organization, user):
    """As it could be made before an unconfirmed address was refused."""
    EmailAddress.objects.filter(user=user).update(verified=True)
    made = api_keys.create(
        organization=organization, name="k", scopes=list(Scope), created_by=user, expires_at=None,
        now=timezone.now(),
    )  # fmt: skip
    EmailAddress.objects.filter(user=user).update(verified=False)
    return made


def path_in_mail_of_verification(user: User) -> str:
    page_of(user).post("/verify-email/")
    return path_in_mail(user.email, "confirm-email")
