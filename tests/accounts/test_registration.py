import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import memberships, registration
from accounts.models import User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from superagent.foundation.problems import Invalid
from tests.accounts.conftest import PASSWORD, actions, person


def register(email: str = "Ada@Engines.example", **fields: str) -> User:
    given = {"password": PASSWORD, "full_name": "Ada Lovelace", "organization_name": "Engines"} | fields
    return registration.register(email=email, now=timezone.now(), **given)


def test_register_makes_person_organization_and_a_mail(db):
    user = register()
    membership = memberships.find(user, None)
    assert user.email == "ada@engines.example"
    assert (membership.organization.name, membership.organization.email, membership.role) == (
        "Engines",
        user.email,
        Role.OWNER,
    )
    assert user.default_organization_id == membership.organization_id
    address = EmailAddress.objects.get(user=user)
    assert (address.email, address.primary, address.verified) == (user.email, True, False)
    with tenancy.system("test"):
        mail = OutboxMessage.objects.get(topic="accounts.send_mail")
    assert mail.payload == {
        "template": "accounts/email/verify",
        "to": ["ada@engines.example"],
        "context": {"link": {"link_to": "verify", "id": str(user.pk)}},
    }
    assert actions(membership.organization) == ["organization.created"]
    assert actions(None) == ["user.registered"]


def test_register_names_the_organization_after_the_person_when_it_has_no_name(db):
    assert memberships.find(register(organization_name=" "), None).organization.name == "Ada Lovelace"


def test_register_refuses_a_taken_address_in_another_case(db):
    person("ada@engines.example")
    with pytest.raises(registration.EmailTaken):
        register("ADA@engines.example")


@pytest.mark.parametrize("password", ["short", "password1234", "1234567890123", "lovelace12"])
def test_register_refuses_a_weak_password_and_makes_nothing(db, password):
    with pytest.raises(Invalid) as refused:
        register(password=password)
    assert refused.value.errors[0].pointer == "/password"
    assert not User.objects.exists()


def test_password_is_hashed_by_bcrypt_with_twelve_rounds(db, settings):
    from superagent import settings as ours

    settings.PASSWORD_HASHERS = ours.PASSWORD_HASHERS
    assert register().password.startswith("bcrypt_sha256$$2b$12$")
