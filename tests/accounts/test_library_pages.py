"""Pages that allauth brings are shown in our look: each that an address of ours can answer with has our template."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.template.loader import get_template
from django.test import Client
from django.urls import URLPattern, get_resolver
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from accounts.models import User
from tests.accounts.conftest import PASSWORD
from tests.fixtures.staff import with_second_factor

OURS = Path(settings.BASE_DIR) / "templates"
# Addresses that lead away from what is not offered here.
NOT_OFFERED = {"account_confirm_login_code"}


def patterns(resolver: Any = None) -> Iterator[URLPattern]:
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLPattern):
            yield each
        else:
            yield from patterns(each)


def first_of_each_name() -> dict[str, URLPattern]:
    """Ours stand before allauth's and so answer instead of them."""
    found: dict[str, URLPattern] = {}
    for pattern in patterns():
        found.setdefault(pattern.name or "", pattern)
    return found


def templates() -> list[tuple[str, str]]:
    """Name of the address and template of each page of allauth, or built on one of its views."""
    found = []
    for name, pattern in first_of_each_name().items():
        view = getattr(pattern.callback, "view_class", None)
        is_allauths = any(each.__module__.startswith("allauth.") for each in getattr(view, "__mro__", ()))
        template = getattr(view, "template_name", None)
        if is_allauths and template and template.endswith(".html") and name not in NOT_OFFERED:
            found.append((name, template))
    return found


def test_pages_of_allauth_are_found() -> None:
    assert {
        "account_login",
        "mfa_reauthenticate_webauthn",
        "usersessions_list",
        "socialaccount_connections",
    } <= {name for name, _ in templates()}


@pytest.mark.parametrize(("name", "template"), templates())
def test_every_page_of_allauth_has_our_look(name: str, template: str) -> None:
    assert Path(get_template(template).origin.name).is_relative_to(OURS), (
        f"{name} shows allauth's own {template}"
    )


def test_what_is_not_offered_has_no_page(db: None) -> None:
    for name in NOT_OFFERED:
        path = {"account_confirm_login_code": "/accounts/login/code/confirm/"}[name]
        answer = Client().get(path)
        assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/")


def with_passkey(user: User) -> Authenticator:
    """As a browser registers one, without a look at who made the key."""
    public_key = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    attested = AttestedCredentialData.create(bytes(16), b"key", public_key)
    made = AuthenticatorData.create(hashlib.sha256(b"testserver").digest(), 0x45, 0, attested)
    asked = CollectedClientData.create("webauthn.create", b"challenge", "http://testserver")
    response = {
        "clientDataJSON": websafe_encode(asked),
        "attestationObject": websafe_encode(AttestationObject.create("none", made, {})),
    }
    key = websafe_encode(b"key")
    credential = {
        "type": "public-key",
        "id": key,
        "rawId": key,
        "response": response,
        "clientExtensionResults": {},
    }
    return Authenticator.objects.create(
        user=user, type=Authenticator.Type.WEBAUTHN, data={"name": "Key", "credential": credential}
    )


def test_the_second_step_offers_a_passkey_to_who_has_one(owner, acme) -> None:
    with_second_factor(owner)

    def second_step() -> str:
        client = Client()
        client.post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
        return client.get("/accounts/2fa/authenticate/").content.decode()

    assert "Code" in second_step() and "Use a passkey" not in second_step()
    with_passkey(owner)
    assert "Use a passkey" in second_step()


def test_who_has_a_passkey_confirms_with_it(owner, acme) -> None:
    """The page was in allauth's look, and its button said nothing when the browser refused."""
    with_passkey(owner)
    client = Client()
    client.force_login(owner)
    page = client.get("/accounts/2fa/webauthn/reauthenticate/")
    text = page.content.decode()
    assert page.status_code == 200
    for part in ("entrance-card", 'id="mfa_webauthn_reauthenticate"', "js/passkeys.js", 'role="alert"'):
        assert part in text
