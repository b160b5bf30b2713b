"""Closing an account: requested by the user, reversible for two weeks, carried out by a job.

A user who is the only member of an organization with running charges must end them first, or agree that they end with
the account: nobody could end them afterwards. An organization without members is suspended and its API keys revoked.
The user's row stays, because the audit trail refers to it; the address can sign up again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import structlog
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, When
from django.utils.formats import date_format

from accounts import (
    audit,
    charges,
    email_addresses,
    log_ins,
    mail_links,
    memberships,
    notifications,
    offboarding,
    organizations,
    people,
)
from accounts.charges import Charge, Due
from accounts.models import AccountClosure, ApiKey, Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.prepared import Given, Prepared
from superagent.foundation.problems import NotFound, Refusal
from superagent.foundation.templatetags.formats import money

UNUSED_FOR = timedelta(days=30)  # before an account that was never confirmed is closed
BATCH = 500

log = structlog.get_logger(__name__)


class StillCharged(Refusal):
    code = "still_charged"
    title = "Something is still charged"


class ClosureGone(Refusal):
    status = HTTPStatus.GONE
    code = "account_closure_gone"
    title = "This link no longer works"


@dataclass(frozen=True, slots=True)
class Consequence:
    """What closing means for one of the user's organizations. The last three fields are set if nobody else is left."""

    membership: Membership
    is_left_alone: bool
    needs_another_owner: bool
    charges: Sequence[Charge] = ()
    unbilled: Sequence[Due] = ()
    key_count: int = 0

    @property
    def organization(self) -> Organization:
        return self.membership.organization


def consequences(*, user: User, now: datetime, most: int | None = None) -> list[Consequence]:
    """Returns what closing the account means for each of the user's organizations, or for the first `most`.

    Sorted: those that need another owner, then those without other members (charged ones first), then by name.
    `now` is real time, here and below.
    """
    with tenancy.system("what the end of an account means for its organizations"):
        return [_consequence(membership, now) for membership in _memberships(user)[:most]]


def pending(*, user: User) -> AccountClosure | None:
    return _pending.first(user=user.pk)


_pending: Prepared[AccountClosure] = Prepared(
    lambda: AccountClosure.objects.filter(user=Given("user"), withdrawn_at=None, closed_at=None)[:1]
)


def ask(*, user: User, end_charges: bool, now: datetime) -> AccountClosure:
    """Request the closing. Idempotent. With `end_charges`, running charges end with their paid period.

    Raises memberships.LastOwner if others would be left without an owner, StillCharged, and what ending charges raises.
    """
    running = [each for each in _checked(user, now) if each.charges]
    if running and not end_charges:
        raise _still_charged(running)
    for each in running:
        charges.end_all(
            each.organization
        )  # calls Stripe, so before the transaction; it is not undone if that fails
    with transaction.atomic():
        user = people.lock(user)
        if (waiting := pending(user=user)) is not None:
            return waiting
        following = _checked(user, now)
        if bought_meanwhile := [each for each in following if each.charges]:
            raise _still_charged(bought_meanwhile)
        closure = AccountClosure.objects.create(
            user=user, asked_at=now, closes_at=now + AccountClosure.WAITING_PERIOD
        )
        audit.record(
            action="user.closing_asked", actor=user, target=user,
            detail={"closes_at": closure.closes_at.isoformat()},
        )  # fmt: skip
        _mail(
            "account_closing", user.email, link=mail_links.to_undo_closure(closure),
            closes_on=date_format(closure.closes_at, "M j, Y"),
            ends=[f"{charge.name} ({each.organization})" for each in running for charge in each.charges],
            unbilled=[_in_words(due, each) for each in following for due in each.unbilled],
        )  # fmt: skip
    return closure


def find(token: str) -> AccountClosure:
    """Returns the pending closure of a mailed link, with its user. Raises NotFound, ClosureGone."""
    closure_id = mail_links.closure_id(token)
    closure = (
        AccountClosure.objects.select_related("user").filter(pk=closure_id).first() if closure_id else None
    )
    if closure is None:
        raise NotFound("This link is incomplete. Open it from the email again.")
    if not closure.is_pending:
        raise ClosureGone(
            "The account has been closed. You can sign up again with your address."
            if closure.closed_at
            else "The account will not be closed."
        )
    return closure


def undo(*, closure: AccountClosure, now: datetime) -> None:
    """Withdraw the closing. Charges that were ended stay ended and can be resumed or bought again. Idempotent."""
    with transaction.atomic():
        user = people.lock(closure.user)
        if _withdraw(user, now):
            audit.record(action="user.closing_undone", actor=user, target=user)
            _mail("account_kept", user.email)


def undo_by_staff(*, closure: AccountClosure, staff: User, reason: str, now: datetime) -> None:
    """Withdraw the closing on behalf of the user. Raises ClosureGone if it is not pending."""
    with transaction.atomic():
        user = people.lock(closure.user)
        if not _withdraw(user, now):
            raise ClosureGone("The closing is no longer pending: the account was closed or kept.")
        audit.record(
            action="user.closing_undone_by_staff", actor=staff, target=user, detail={"reason": reason}
        )
        _mail("account_kept", user.email, reason=reason)


def close_due(*, now: datetime) -> int:
    """Close every account whose two weeks are over. Returns the number closed. A failure does not stop the others."""
    due = AccountClosure.objects.filter(withdrawn_at=None, closed_at=None, closes_at__lte=now)
    closed = 0
    for user in User.objects.filter(pk__in=due.values("user")).order_by("pk"):
        try:
            closed += _close_due(user, now)
        except Exception:
            log.exception("account_not_closed", user=str(user.pk), alarm=True)
    return closed


def end_stray_charges() -> int:
    """End charges of suspended organizations, bought on a payment page that was open when the last owner left.

    Returns the number of organizations. Retried by every run, as Stripe may be down for long. Calls Stripe: not inside
    a transaction. A failure does not stop the others.
    """
    ended = 0
    suspended = Organization.objects.filter(suspended_at__isnull=False)
    for organization in charges.paying(suspended).order_by("pk").iterator(chunk_size=BATCH):
        try:
            charges.end_all(organization)
            ended += 1
        except Exception:
            log.exception("charges_not_ended", organization=str(organization.pk), alarm=True)
    return ended


def close_unused(*, now: datetime) -> int:
    """Close accounts that were never confirmed and not used for a month, so that their addresses become free.

    Returns the number closed, at most BATCH; the next run continues. Sends no mail to unconfirmed addresses. A failure
    does not stop the others.
    """
    long_ago = now - UNUSED_FOR
    unconfirmed = EmailAddress.objects.filter(user=OuterRef("pk"), verified=False)
    keys = ApiKey.objects.usable(now).filter(created_by=OuterRef("pk"))
    log_ins_since = Q(last_login__gte=long_ago) | Q(token_families__refreshed_at__gte=long_ago)
    unused = (
        User.objects.filter(Exists(unconfirmed), ~Exists(keys), is_active=True, is_staff=False)
        .filter(created_at__lt=long_ago)
        .exclude(log_ins_since)
    )
    closed = 0
    for user in unused.order_by("pk").iterator(chunk_size=BATCH):
        if closed == BATCH:
            break
        try:
            with transaction.atomic():
                locked = people.lock(user)
                if not unused.filter(pk=locked.pk).exists():
                    continue  # confirmed or used in the meantime
                _close_if_free(locked, because="never confirmed", now=now)
            closed += 1
        except Refusal as refusal:
            log.warning("unused_account_kept", user=str(user.pk), reason=refusal.detail)
        except Exception:
            log.exception("account_not_closed", user=str(user.pk), alarm=True)
    return closed


def give_way(*, email: str, now: datetime) -> None:
    """Close an unconfirmed account that holds `email`, for somebody who has proven to read that mailbox.

    Raises EmailTaken if the address is confirmed, or the account is staff's, an only owner's or has charges. The caller
    has locked the accounts.
    """
    holder = User.objects.filter(email=email).first()
    if holder is None:
        return
    if email_addresses.is_confirmed(holder) or holder.is_staff:
        raise email_addresses.EmailTaken
    try:
        _close_if_free(holder, because="address confirmed by somebody else", now=now)
    except (memberships.LastOwner, StillCharged):
        raise email_addresses.EmailTaken from None


def _close_due(user: User, now: datetime) -> bool:
    with transaction.atomic():
        user = people.lock(user)
        closure = pending(user=user)
        if closure is None or closure.closes_at > now:
            return False  # withdrawn, or closed by another run
        email = user.email
        try:
            _close_if_free(user, because="account closed", now=now)
        except (memberships.LastOwner, StillCharged) as refusal:
            _withdraw(user, now)
            audit.record(
                action="user.closing_refused", actor=user, target=user, detail={"reason": refusal.detail}
            )
            _mail("account_not_closed", email, reason=refusal.detail)
            return False
        closure.closed_at = now
        closure.save(update_fields=["closed_at"])
        _mail("account_closed", email)
        return True


def _close_if_free(user: User, *, because: str, now: datetime) -> None:
    """Leave every organization and close the account. Raises memberships.LastOwner, StillCharged."""
    found = _checked(user, now)
    if charged := [each for each in found if each.charges]:
        raise _still_charged(charged)
    with tenancy.system("a person leaves all their organizations"):
        for each in found:
            _leave(each, user, because, now)
    audit.record(action="user.closed", actor=user, target=user, detail={"because": because})
    Authenticator.objects.filter(user=user).delete()
    SocialAccount.objects.filter(user=user).delete()
    email_addresses.release(user=user)
    user.set_unusable_password()
    user.is_active = False
    user.save(update_fields=["password", "is_active"])
    log_ins.end_all(user=user, now=now, because=because)


def _leave(consequence: Consequence, user: User, because: str, now: datetime) -> None:
    """Leave one organization. The last membership of one that is suspended stays, to show whose it was."""
    membership, organization = consequence.membership, consequence.organization
    audit.record(
        action="member.left", organization=organization, actor=user, target=user,
        detail={"role": membership.role, "reason": because},
    )  # fmt: skip
    if consequence.is_left_alone:
        organizations.suspend(organization=organization, because=because, now=now)
        return
    membership.delete()
    offboarding.tell_of_kept_keys(organization=organization, user=user, now=now)
    offboarding.end_beyond(
        organization=organization, user=user, role=None, by=user, revoke_keys=False, now=now
    )


def _checked(user: User, now: datetime) -> list[Consequence]:
    """Returns the consequences. Raises memberships.LastOwner."""
    found = consequences(user=user, now=now)
    if stuck := [each for each in found if each.needs_another_owner]:
        names = _listed([each.organization.name for each in stuck])
        raise memberships.LastOwner(f"Make another member an owner first: {names}.")
    return found


def _memberships(user: User) -> QuerySet[Membership]:
    others = Membership.objects.filter(organization=OuterRef("organization"), user__is_active=True).exclude(
        user=user
    )
    paying = charges.paying(Organization.objects.filter(pk=OuterRef("organization")))
    stays_owned = Q(role__in=[role for role in Role if role != Role.OWNER]) | Exists(
        others.filter(role=Role.OWNER)
    )
    return (
        memberships.of_user(user)
        .annotate(
            is_left_alone=~Exists(others),
            needs_another_owner=Case(When(Exists(others) & ~stays_owned, then=True), default=False),
            is_paying=Case(When(~Exists(others) & Exists(paying), then=True), default=False),
        )
        .order_by("-needs_another_owner", "-is_left_alone", "-is_paying", "organization__name", "id")
    )


def _consequence(membership: Any, now: datetime) -> Consequence:
    """Builds the consequence of a row of `_memberships`."""
    organization = membership.organization
    if not membership.is_left_alone:
        return Consequence(
            membership, is_left_alone=False, needs_another_owner=membership.needs_another_owner
        )
    return Consequence(
        membership,
        is_left_alone=True,
        needs_another_owner=False,
        charges=charges.running(organization),
        unbilled=charges.unbilled(organization),
        key_count=ApiKey.objects.filter(organization=organization).usable(now).count(),
    )


def _still_charged(running: Sequence[Consequence]) -> StillCharged:
    names = _listed([f"{charge.name} of {each.organization}" for each in running for charge in each.charges])
    return StillCharged(
        f"{names}: nobody else could cancel it. Cancel it first, make another member an owner, or agree that it "
        "ends with your account."
    )


def _listed(names: Sequence[str]) -> str:
    """Returns the first names and the number of the others."""
    more = len(names) - memberships.MENU_SIZE
    return ", ".join(names[: memberships.MENU_SIZE]) + (f" and {more} more" if more > 0 else "")


def _in_words(due: Due, consequence: Consequence) -> str:
    amount, date = money(due.amount, due.currency), date_format(due.at, "M j, Y")
    return f"{amount} so far, on {date} ({consequence.organization})"


def _withdraw(user: User, now: datetime) -> bool:
    waiting = AccountClosure.objects.filter(user=user, withdrawn_at=None, closed_at=None)
    return waiting.update(withdrawn_at=now) > 0


def _mail(template: str, to: str, **context: object) -> None:
    notifications.send(template=f"accounts/email/{template}", to=[to], context=context, dedupe_key=None)
