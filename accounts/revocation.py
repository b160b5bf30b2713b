"""Revoking all access to an account, after its owner has proven to be the owner and others may have had access."""

from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.db.models import Q

from accounts import api_keys, audit, invitations, log_ins
from accounts.models import AccountClosure, ApiKey, Invitation, User
from superagent.foundation import tenancy


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept: the social account that the person has just logged in with."""

    social_account: tuple[str, str] | None = None  # provider, uid


NOTHING = Keep()


def revoke_access(*, user: User, since: datetime | None, keep: Keep, because: str, now: datetime) -> None:
    """End every login of `user`, and their second factors, connected accounts, API keys, open invitations and a pending
    closing of the account.

    With `since`, only what was created at that time or later.
    """
    with tenancy.system("what a person made, in any organization"), transaction.atomic():
        made = Q() if since is None else Q(created_at__gte=since)
        factors = Authenticator.objects.filter(made, user=user)
        connections = SocialAccount.objects.filter(user=user)
        if since is not None:
            connections = connections.filter(date_joined__gte=since)
        if keep.social_account is not None:
            provider, uid = keep.social_account
            connections = connections.exclude(provider=provider, uid=uid)
        ended = {"second_factors": factors.delete()[0], "connected_accounts": connections.delete()[0]}
        keys = ApiKey.objects.filter(made, created_by=user).usable(now).select_related("organization")
        for key in keys:
            api_keys.revoke(
                organization=key.organization, key_id=key.pk, revoked_by=user, now=now, reason=because
            )
        offers = Invitation.objects.filter(made, invited_by=user).open(now).select_related("organization")
        for offer in offers:
            invitations.revoke(organization=offer.organization, invitation_id=offer.pk, now=now)
        ended |= {"api_keys": len(keys), "invitations": len(offers)}
        closures = AccountClosure.objects.filter(user=user, withdrawn_at=None, closed_at=None)
        if since is not None:
            closures = closures.filter(asked_at__gte=since)
        ended["closings"] = closures.update(withdrawn_at=now)
        log_ins.end_all(user=user, now=now, because=because)
        audit.record(
            action="user.access_revoked", actor=user, target=user,
            detail={"because": because} | {what: count for what, count in ended.items() if count},
        )  # fmt: skip
