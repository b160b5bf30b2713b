"""Support actions by staff on users and ownerless organizations.

Each takes a reason, which is recorded in the audit trail and mailed to the user. Staff never set a password for
somebody. Only superusers may act on the accounts of staff, and nobody on their own.
"""

from datetime import datetime

from allauth.mfa.models import Authenticator
from django.db import transaction

from accounts import (
    audit,
    closures,
    email_addresses,
    email_changes,
    log_ins,
    mail_links,
    memberships,
    notifications,
    staff_notices,
)
from accounts.memberships import RoleChange
from accounts.models import AccountClosure, Membership, Organization, User
from accounts.roles import Role
from superagent.foundation.problems import Forbidden, Refusal

NOT_ASKED_FOR = "If you did not ask for this, reply to this email right away."


class AccountClosed(Refusal):
    code = "account_closed"
    title = "The account is closed"


class NoSecondFactor(Refusal):
    code = "no_second_factor"
    title = "This account has no second factor"


class NotSuspended(Refusal):
    code = "not_suspended"
    title = "The organization is not suspended"


class NoOwner(Refusal):
    code = "no_owner"
    title = "Nobody with this address can own the organization"


def send_reset_link(*, person: User, by: User, reason: str) -> None:
    """Mail the person a link to reset their password. Raises Forbidden, AccountClosed."""
    with transaction.atomic():
        stored = _guarded(person, by)
        if not stored.is_active:
            raise AccountClosed(
                "Reactivate the account first: a reset link does not work for a closed account."
            )
        audit.record(
            action="user.reset_link_sent_by_staff", actor=by, target=stored, detail={"reason": reason}
        )
        notifications.send(
            template="accounts/email/reset_password",
            to=[stored.email],
            context={
                "full_name": stored.full_name,
                "link": mail_links.to_reset_password(stored),
                "by_support": True,
            },
            dedupe_key=None,
        )


def change_email(*, person: User, new_email: str, by: User, reason: str, now: datetime) -> None:
    """Begin a change of address for a person who cannot read the old mailbox. Mails both addresses: the new one must
    confirm, the old one can stop it. Raises Forbidden, AccountClosed, and what email_changes.ask_by_staff does."""
    with transaction.atomic():
        stored = _guarded(person, by)
        if not stored.is_active:
            raise AccountClosed("Reactivate the account first.")
        email_changes.ask_by_staff(user=stored, new_email=new_email, staff=by, reason=reason, now=now)


def reset_second_factor(*, person: User, by: User, reason: str, now: datetime) -> None:
    """Remove authenticator app, passkeys and recovery codes, and log the person out everywhere. The password alone is
    enough to log in until a second factor is set up again. Raises Forbidden, NoSecondFactor."""
    with transaction.atomic():
        stored = _guarded(person, by)
        factors = Authenticator.objects.filter(user=stored)
        removed = sorted(factors.values_list("type", flat=True))
        if not removed:
            raise NoSecondFactor(f"{stored.email} has no second factor.")
        factors.delete()
        log_ins.end_all(user=stored, now=now, because="second factor removed", by=by)
        audit.record(
            action="user.second_factor_removed_by_staff",
            actor=by,
            target=stored,
            detail={"reason": reason, "removed": removed},
        )
        staff_notices.to_person(
            person=stored,
            what="Our support turned off two-step login for your account and logged you out everywhere.",
            reason=reason,
            remedy=f"Turn it on again after your next login. {NOT_ASKED_FOR}",
        )


def deactivate(*, person: User, by: User, reason: str, now: datetime) -> None:
    """Log a person out everywhere and allow no new login. Idempotent. Raises Forbidden."""
    with transaction.atomic():
        stored = _guarded(person, by)
        if not stored.is_active:
            return
        stored.is_active = False
        stored.save(update_fields=["is_active"])
        log_ins.end_all(user=stored, now=now, because="deactivated", by=by)
        audit.record(action="user.deactivated_by_staff", actor=by, target=stored, detail={"reason": reason})
        staff_notices.to_person(
            person=stored,
            what="Our support deactivated your account. You can no longer log in.",
            reason=reason,
            remedy="If you think this is a mistake, reply to this email.",
        )


def reactivate(*, person: User, by: User, reason: str) -> None:
    """Let a person log in again. Idempotent. Raises Forbidden, AccountClosed."""
    with transaction.atomic():
        stored = _guarded(person, by)
        if stored.is_active:
            return
        if email_addresses.is_released(stored):
            raise AccountClosed(
                "This account was closed and has no address or password. The person must sign up again."
            )
        stored.is_active = True
        stored.save(update_fields=["is_active"])
        audit.record(action="user.reactivated_by_staff", actor=by, target=stored, detail={"reason": reason})
        staff_notices.to_person(
            person=stored, what="Our support reactivated your account. You can log in again.", reason=reason
        )


def keep_account(*, closure: AccountClosure, by: User, reason: str, now: datetime) -> None:
    """Cancel the closing of an account for a person who asks for it. Raises Forbidden, closures.ClosureGone."""
    with transaction.atomic():
        _guarded(closure.user, by)
        closures.undo_by_staff(closure=closure, staff=by, reason=reason, now=now)


def reinstate(
    *, organization: Organization, owner_email: str, by: User, reason: str, now: datetime
) -> Membership:
    """Give an organization whose last owner has left to a person with a confirmed address. Runs in the system scope.

    Its keys, plan and licenses stay ended: the new owner creates and buys them again.

    Raises NotSuspended, NoOwner.
    """
    with transaction.atomic():
        stored = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if stored.suspended_at is None:
            raise NotSuspended(f"{stored.name} has an owner. Change the roles of its members instead.")
        owner = User.objects.filter(email=email_addresses.normalized(owner_email), is_active=True).first()
        if owner is None or not email_addresses.is_confirmed(owner):
            raise NoOwner("No active account has confirmed this address.")
        stored.suspended_at = None
        stored.save(update_fields=["suspended_at"])
        membership = memberships.add(organization=stored, user=owner, role=Role.OWNER, now=now)
        if membership.role != Role.OWNER:
            membership.role = Role.OWNER
            membership.save(update_fields=["role"])
        audit.record(
            action="organization.reinstated_by_staff",
            organization=stored,
            actor=by,
            target=stored,
            detail={"reason": reason, "owner": owner.email},
        )
        for address in sorted({owner.email, stored.email}):
            staff_notices.to_address(
                address=address,
                what=f"Our support reinstated {stored.name}, which had no owner. "
                f"Its owner is now {owner.email}.",
                reason=reason,
                remedy=NOT_ASKED_FOR,
            )
    return membership


def change_role(*, membership: Membership, role: str, by: User, reason: str, now: datetime) -> RoleChange:
    """Change a member's role on behalf of the company, and mail the member and the owners.

    Raises Forbidden, and what memberships.change_role_by_staff does.
    """
    with transaction.atomic():
        if membership.user_id == by.pk:
            raise Forbidden("You cannot change your own role here. Ask an owner of the organization.")
        before = Membership.objects.values_list("role", flat=True).get(pk=membership.pk)
        with audit.because(reason):
            change = memberships.change_role_by_staff(
                organization=membership.organization,
                user_id=membership.user_id,
                role=role,
                staff=by,
                now=now,
            )
        if role != before:
            _tell_of_role(change.membership, Role(before), reason)
    return change


def _tell_of_role(membership: Membership, before: Role, reason: str) -> None:
    """Mail the member, and the owners, who may not have asked for it."""
    name = membership.organization.name
    is_now = f"from {before.label} to {Role(membership.role).label}"
    staff_notices.to_person(
        person=membership.user,
        what=f"Our support changed your role in {name} {is_now}.",
        reason=reason,
    )
    owners = Membership.objects.filter(
        organization=membership.organization, role=Role.OWNER, user__is_active=True
    ).exclude(user=membership.user_id)
    for owner in owners.select_related("user"):
        staff_notices.to_person(
            person=owner.user,
            what=f"Our support changed the role of {membership.user.email} in {name} {is_now}.",
            reason=reason,
            remedy=NOT_ASKED_FOR,
        )


def _guarded(person: User, by: User) -> User:
    """Returns the person's row, locked. Raises Forbidden if `by` may not change it."""
    stored = User.objects.select_for_update().get(pk=person.pk)
    if stored.pk == by.pk:
        raise Forbidden("This is your own account. Use its settings in the portal.")
    if (stored.is_staff or stored.is_superuser) and not by.is_superuser:
        raise Forbidden("Only superusers can change the accounts of staff.")
    return stored
