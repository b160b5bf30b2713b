"""Links that are as good as a password for a while: made when a mail is sent, so that no outbox row holds one.

A mail's context names the link as {"link_to": kind, "id": …}; `make` turns that into the address.
"""

from typing import Any
from urllib.parse import quote

from allauth.account import app_settings
from allauth.account.models import EmailAddress, EmailConfirmationHMAC
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core import signing
from django.urls import reverse

from accounts.models import Invitation, User

_INVITATIONS = signing.Signer(salt="accounts.invitation")


class Outdated(Exception):
    """What the link was for has gone."""


def to_verify(user: User) -> dict[str, str]:
    return {"link_to": "verify", "id": str(user.pk)}


def to_verify_address(address: EmailAddress) -> dict[str, str]:
    return {"link_to": "verify_address", "id": str(address.pk)}


def to_reset_password(user: User) -> dict[str, str]:
    return {"link_to": "reset_password", "id": str(user.pk)}


def to_invitation(invitation: Invitation) -> dict[str, str]:
    return {"link_to": "invitation", "id": str(invitation.pk)}


def make(reference: dict[str, Any]) -> str:
    """The absolute address that `reference` names. Raises Outdated. Runs in the system scope."""
    return settings.PUBLIC_URL + _MAKERS[reference["link_to"]](reference["id"])


def invitation_token(invitation: Invitation) -> str:
    """What the invitation's link carries; signed, because whoever holds it proves to read that mailbox."""
    return _INVITATIONS.sign(str(invitation.pk))


def invitation_id(token: str) -> str | None:
    """The id in a token that we signed, else None."""
    try:
        return _INVITATIONS.unsign(token)
    except signing.BadSignature:
        return None


def _verify(user_id: str) -> str:
    address = EmailAddress.objects.filter(user_id=user_id, primary=True).first()
    return _verify_address(str(address.pk)) if address else _outdated()


def _verify_address(address_id: str) -> str:
    address = EmailAddress.objects.filter(pk=address_id, verified=False).first()
    if address is None:
        return _outdated()
    return reverse("account_confirm_email", args=[EmailConfirmationHMAC.create(address).key])


def _reset_password(user_id: str) -> str:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return _outdated()
    token = app_settings.PASSWORD_RESET_TOKEN_GENERATOR().make_token(user)
    return reverse(
        "account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": quote(token)}
    )


def _invitation(invitation_pk: str) -> str:
    invitation = Invitation.objects.filter(pk=invitation_pk).first()
    return reverse("invitation", args=[invitation_token(invitation)]) if invitation else _outdated()


def _outdated() -> str:
    raise Outdated


_MAKERS = {
    "verify": _verify,
    "verify_address": _verify_address,
    "reset_password": _reset_password,
    "invitation": _invitation,
}
