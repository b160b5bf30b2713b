"""Secret links in mails, created when the mail is sent, so that no outbox row holds one.

A mail's context names the link as {"link_to": kind, "id": …}; `make` turns that into the URL.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from allauth.account import app_settings
from allauth.account.models import EmailAddress
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core import signing
from django.urls import reverse

from accounts.models import AccountClosure, EmailChange, Invitation, Organization, User

VERIFICATION_LIFETIME = timedelta(days=3)
ORGANIZATION = "organization"  # the query parameter that `access.authorize` reads
_INVITATIONS = signing.Signer(salt="accounts.invitation")
_CLOSURES = signing.Signer(salt="accounts.closure")
_VERIFICATION_SALT = "accounts.verification"
# The two mailboxes of a change of address, and the old one afterwards, hold different links.
_EMAIL_CHANGES = {
    page: signing.Signer(salt=f"accounts.{page}")
    for page in ("email-change-confirm", "email-change-answer", "email-change-undo")
}


class LinkExpired(Exception):
    """What the link was for has gone."""


def to_verify(user: User) -> dict[str, str]:
    return {"link_to": "verify", "id": str(user.pk)}


def to_reset_password(user: User) -> dict[str, str]:
    return {"link_to": "reset_password", "id": str(user.pk)}


def to_reset_password_of_mailbox() -> dict[str, str]:
    """Of whoever has the address that the mail is sent to; without anybody, no mail is made."""
    return {"link_to": "reset_password"}


def to_invitation(invitation: Invitation) -> dict[str, str]:
    return {"link_to": "invitation", "id": str(invitation.pk)}


def to_confirm_change(change: EmailChange) -> dict[str, str]:
    return {"link_to": "email-change-confirm", "id": str(change.pk)}


def to_answer_change(change: EmailChange) -> dict[str, str]:
    return {"link_to": "email-change-answer", "id": str(change.pk)}


def to_undo_change(change: EmailChange) -> dict[str, str]:
    return {"link_to": "email-change-undo", "id": str(change.pk)}


def to_undo_closure(closure: AccountClosure) -> dict[str, str]:
    return {"link_to": "account-keep", "id": str(closure.pk)}


def make(reference: dict[str, Any], *, to: str) -> str:
    """Returns the absolute URL of `reference`, for the mailbox `to`. Call it in the system scope.

    Raises LinkExpired if the link has no purpose any more, or the account has another address by now.
    """
    return settings.PUBLIC_URL + _MAKERS[reference["link_to"]](reference.get("id", ""), to)


def page(name: str, *args: object, organization: Organization) -> str:
    """Returns the absolute URL of a portal page for a mail; it opens in `organization`."""
    return f"{settings.PUBLIC_URL}{reverse(name, args=args)}?{ORGANIZATION}={organization.pk}"


def invitation_token(invitation: Invitation) -> str:
    """Returns the signed token of the invitation's link, which proves access to the mailbox."""
    return _INVITATIONS.sign(str(invitation.pk))


def invitation_id(token: str) -> str | None:
    """Returns the id in a token that we signed, else None."""
    try:
        return _INVITATIONS.unsign(token)
    except signing.BadSignature:
        return None


def reset_password_path(user: User) -> str:
    """Returns the path of the page to set a new password, for somebody who has proven access to the mailbox."""
    token = app_settings.PASSWORD_RESET_TOKEN_GENERATOR().make_token(user)
    return reverse(
        "account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": quote(token)}
    )


def verification_token(user: User) -> str:
    """Returns the token of a confirmation link, with the address: a link is valid for one mailbox."""
    return signing.dumps([str(user.pk), user.email], salt=_VERIFICATION_SALT)


def verified_claim(token: str) -> tuple[str, str] | None:
    """Returns the user's id and address in a valid confirmation token, else None."""
    try:
        user_id, email = signing.loads(token, salt=_VERIFICATION_SALT, max_age=VERIFICATION_LIFETIME)
    except signing.BadSignature:
        return None
    return user_id, email


def email_change_id(token: str, *, page: str) -> str | None:
    """Returns the id in a token that we signed for this page, else None."""
    try:
        return _EMAIL_CHANGES[page].unsign(token)
    except signing.BadSignature:
        return None


def closure_id(token: str) -> str | None:
    """Returns the id in a token that we signed, else None."""
    try:
        return _CLOSURES.unsign(token)
    except signing.BadSignature:
        return None


def _verify(user_id: str, to: str) -> str:
    user = User.objects.filter(pk=user_id, email=to, is_active=True).first()
    if user is None or EmailAddress.objects.filter(user=user, verified=True).exists():
        return _outdated()
    return reverse("account_confirm_email", args=[verification_token(user)])


def _reset_password(user_id: str, to: str) -> str:
    user = User.objects.filter(email=to, is_active=True).first()
    if user is None:
        return _outdated()
    return reset_password_path(user)


def _invitation(invitation_pk: str, to: str) -> str:
    invitation = Invitation.objects.filter(pk=invitation_pk, email=to).first()
    return reverse("invitation", args=[invitation_token(invitation)]) if invitation else _outdated()


def _email_change(page: str) -> Callable[[str, str], str]:
    column = "new_email" if page == "email-change-confirm" else "old_email"

    def make(change_id: str, to: str) -> str:
        in_force = EmailChange.objects.filter(pk=change_id, withdrawn_at=None, undone_at=None)
        if not in_force.filter(**{column: to}).exists():
            return _outdated()
        return reverse(page, args=[_EMAIL_CHANGES[page].sign(change_id)])

    return make


def _undo_closure(closure_pk: str, to: str) -> str:
    waiting = AccountClosure.objects.filter(pk=closure_pk, user__email=to, withdrawn_at=None, closed_at=None)
    return reverse("account-keep", args=[_CLOSURES.sign(closure_pk)]) if waiting.exists() else _outdated()


def _outdated() -> str:
    raise LinkExpired


_MAKERS: dict[str, Callable[[str, str], str]] = {
    "verify": _verify,
    "reset_password": _reset_password,
    "invitation": _invitation,
    "account-keep": _undo_closure,
    **{page: _email_change(page) for page in _EMAIL_CHANGES},
}
