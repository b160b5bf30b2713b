"""allauth's adapters: sign-up and login by a provider, mails, and the encryption of second factors.

The provider is GitHub's own wire: a stand-in answers what its API documents.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.github.views import GitHubOAuth2Adapter
from cryptography.fernet import InvalidToken
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from accounts import memberships
from accounts.adapters import AccountAdapter, MfaAdapter, SocialAccountAdapter
from accounts.models import User
from tests.accounts.conftest import PASSWORD, page_of, person

pytestmark = pytest.mark.django_db(transaction=True)
ADA = {"id": 1, "login": "ada", "name": "Ada Lovelace", "email": None}


def address(email: str, *, primary: bool = False, verified: bool = True) -> dict[str, Any]:
    return {"email": email, "primary": primary, "verified": verified, "visibility": None}


class GitHub(ThreadingHTTPServer):
    """Who is logged in there, and which addresses they have."""

    user: dict[str, Any] = ADA
    emails: list[dict[str, Any]] = []

    def sign_in(self, client: Client, process: str = "login"):
        """Press the button here, agree there, come back."""
        started = client.post(f"/accounts/github/login/?process={process}")
        state = parse_qs(urlsplit(started["Location"]).query)["state"][0]
        return client.get("/accounts/github/login/callback/", {"code": "once", "state": state})


class Wire(BaseHTTPRequestHandler):
    server: GitHub

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"access_token": "gho_test", "token_type": "bearer", "scope": "user:email"})

    def do_GET(self) -> None:
        self._answer(self.server.emails if self.path.endswith("/emails") else self.server.user)

    def _answer(self, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def github(settings, monkeypatch) -> Iterator[GitHub]:
    settings.SOCIALACCOUNT_PROVIDERS = {"github": {"APPS": [{"client_id": "c", "secret": "s", "key": ""}]}}
    with GitHub(("127.0.0.1", 0), Wire) as server:
        origin = f"http://127.0.0.1:{server.server_port}"
        for name, path in (
            ("access_token_url", "/login/oauth/access_token"), ("profile_url", "/user"), ("emails_url", "/user/emails")
        ):  # fmt: skip
            monkeypatch.setattr(GitHubOAuth2Adapter, name, origin + path)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_sign_up_by_a_provider_makes_a_person_and_an_organization(github):
    """Of several addresses the confirmed primary one is kept: a person has one address."""
    github.emails = [
        address("old@engines.example", verified=False),
        address("private@engines.example"),
        address("Ada@engines.example", primary=True),
    ]
    client = Client()
    assert github.sign_in(client)["Location"] == "/dashboard/"
    made = get_user(client)
    assert (made.email, made.full_name, made.has_usable_password()) == (
        "ada@engines.example",
        "Ada Lovelace",
        False,
    )
    assert memberships.find(made, None).organization.name == "Ada Lovelace"
    assert list(EmailAddress.objects.values_list("email", "verified")) == [("ada@engines.example", True)]

    again = Client()
    github.sign_in(again)
    assert get_user(again) == made


def test_a_confirmed_address_is_taken_where_the_primary_one_is_not(github):
    github.emails = [
        address("new@engines.example", primary=True, verified=False),
        address("ada@engines.example"),
    ]
    github.sign_in(Client())
    assert User.objects.get().email == "ada@engines.example"


@pytest.mark.parametrize("emails", [[], [address("ada@engines.example", primary=True, verified=False)]])
def test_without_a_confirmed_address_there_is_no_account(github, emails):
    """Whoever writes somebody's address into a profile learns nothing about it, and holds it for nobody."""
    person("ada@engines.example")
    github.emails = emails
    answer = github.sign_in(Client())
    assert (answer.status_code, "No confirmed address" in answer.content.decode()) == (409, True)
    assert User.objects.count() == 1


def test_who_owns_a_taken_address_is_told_the_way_in(github):
    owner = person("ada@engines.example")
    github.emails = [address("ada@engines.example", primary=True)]
    client = Client()
    answer = github.sign_in(client)
    text = answer.content.decode()
    assert (answer.status_code, "/accounts/login/?next=/accounts/3rdparty/" in text) == (409, True)
    assert get_user(client).is_anonymous
    assert (User.objects.count(), SocialAccount.objects.count()) == (1, 0)

    client.post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    github.sign_in(client, process="connect")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert SocialAccount.objects.get().user == owner
    elsewhere = Client()
    github.sign_in(elsewhere)
    assert get_user(elsewhere) == owner


def test_no_page_takes_another_address_for_a_sign_up_by_a_provider(github):
    person("ada@engines.example")
    github.emails = [address("ada@engines.example", primary=True)]
    client = Client()
    github.sign_in(client)
    answer = client.post("/accounts/3rdparty/signup/", {"email": "olga@acme.example", "full_name": "X"})
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/signup/")
    assert User.objects.count() == 1


def test_an_address_that_is_taken_in_the_same_moment_is_no_error(github, rf):
    """Between the look at the address and the new row."""
    person("ada@engines.example")
    request = rf.get("/")
    request.session = SessionStore()
    login = SocialLogin(
        user=User(),
        provider=SocialAccountAdapter().get_provider(request, "github"),
        account=SocialAccount(provider="github", uid="1"),
        email_addresses=[EmailAddress(email="ada@engines.example", primary=True, verified=True)],
    )
    with context.request_context(request):
        adapter = SocialAccountAdapter()
        adapter.populate_user(request, login, {"email": "ada@engines.example", "name": "Ada"})
        with pytest.raises(ImmediateHttpResponse) as stopped:
            adapter.save_user(request, login)
    assert stopped.value.response.status_code == 409
    assert User.objects.count() == 1


def test_providers_are_offered_only_when_they_are_configured(client, settings):
    assert "google" not in client.get("/accounts/login/").content.decode().lower()
    settings.SOCIALACCOUNT_PROVIDERS = {"google": {"APPS": [{"client_id": "c", "secret": "s", "key": ""}]}}
    text = client.get("/accounts/login/").content.decode()
    assert "/accounts/google/login/" in text
    assert "/accounts/github/login/" not in text


def test_connected_accounts_offer_nothing_where_no_provider_is_set_up(acme, owner):
    text = page_of(owner).get("/accounts/3rdparty/").content.decode()
    assert "not offered here" in text
    assert "Connect another" not in text


def test_second_factors_survive_a_new_secret_key_as_long_as_the_old_one_is_a_fallback(settings):
    former = settings.SECRET_KEY
    encrypted = MfaAdapter().encrypt("JBSWY3DPEHPK3PXP")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key", [former]
    assert MfaAdapter().decrypt(encrypted) == "JBSWY3DPEHPK3PXP"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidToken):
        MfaAdapter().decrypt(encrypted)


def test_a_mail_of_allauth_that_we_have_no_template_for_is_an_error_and_not_sent(mailoutbox):
    with pytest.raises(NotImplementedError, match="account/email/unknown_account"):
        AccountAdapter().send_mail("account/email/unknown_account", "ada@engines.example", {})
    assert mailoutbox == []
