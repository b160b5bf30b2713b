import pytest
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.contrib.sessions.backends.db import SessionStore

from accounts import memberships
from accounts.adapters import SocialAccountAdapter
from accounts.models import User
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import page_of


@pytest.mark.parametrize("verified", [True, False])
def test_a_sign_up_by_a_provider_makes_an_organization(db, rf, verified):
    request = rf.get("/")
    request.session = SessionStore()
    user = User()
    login = SocialLogin(
        user=user,
        account=SocialAccount(provider="github", uid="1"),
        email_addresses=[EmailAddress(email="ada@engines.example", primary=True, verified=verified)],
    )
    with context.request_context(request):
        adapter = SocialAccountAdapter()
        adapter.populate_user(request, login, {"email": "Ada@engines.example", "name": "Ada Lovelace"})
        adapter.save_user(request, login)
    made = User.objects.get(email="ada@engines.example")
    assert (made.full_name, made.has_usable_password()) == ("Ada Lovelace", False)
    assert memberships.find(made, None).organization.name == "Ada Lovelace"
    with tenancy.system("test"):
        mails = OutboxMessage.objects.filter(topic="accounts.send_mail").count()
    assert mails == (0 if verified else 1)


def test_providers_are_offered_only_when_they_are_configured(client, db, settings):
    assert "google" not in client.get("/accounts/login/").content.decode().lower()
    settings.SOCIALACCOUNT_PROVIDERS = {"google": {"APPS": [{"client_id": "c", "secret": "s", "key": ""}]}}
    text = client.get("/accounts/login/").content.decode()
    assert "/accounts/google/login/" in text
    assert "/accounts/github/login/" not in text


def test_connected_accounts_offer_nothing_where_no_provider_is_set_up(acme, owner):
    text = page_of(owner).get("/accounts/3rdparty/").content.decode()
    assert "not offered here" in text
    assert "Connect another" not in text
