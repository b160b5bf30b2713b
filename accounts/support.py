"""What staff do to a person's account, and for an organization that nobody owns any more: always for a reason, kept in
the audit trail and mailed to the person.

Nobody's password is ever set for them. Only superusers touch the accounts of staff, and nobody touches their own here:
the pages of the portal are for that.
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

NOT_ASKED_FOR = "If you did not ask for this, answer this mail at once."


class AccountClosed(Refusal):
    code = "account_closed"
    title = "The account is closed"


class NoSecondFactor(Refusal):
    code = "no_second_factor"
    title = "There is no second factor to remove"


class NotSuspended(Refusal):
    code = "not_suspended"
    title = "The organization is not suspended"


class NoOwner(Refusal):
    code = "no_owner"
    title = "Nobody with this address can own the organization"


def send_reset_link(*, person: User, by: User, reason: str) -> None:
    """Mail the link by which the person chooses a new password. Raises Forbidden, AccountClosed."""
    with transaction.atomic():
        stored = _guarded(person, by)
        if not stored.is_active:
            raise AccountClosed("Reactivate the account first: the link of a closed one does not work.")
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
    """Begin a change of address for a person who cannot read the old mailbox. Both mailboxes are told: the new one must
    confirm, the old one may stop it. Raises Forbidden, AccountClosed, and what email_changes.ask_by_staff does."""
    with transaction.atomic():
        stored = _guarded(person, by)
        if not stored.is_active:
            raise AccountClosed("Reactivate the account first.")
        email_changes.ask_by_staff(user=stored, new_email=new_email, staff=by, reason=reason, now=now)


def reset_second_factor(*, person: User, by: User, reason: str, now: datetime) -> None:
    """Remove authenticator app, passkeys and recovery codes, and end all log-ins: the password alone opens the account
    until a new second factor is set up. Raises Forbidden, NoSecondFactor."""
    with transaction.atomic():
        stored = _guarded(person, by)
        factors = Authenticator.objects.filter(user=stored)
        removed = sorted(factors.values_list("type", flat=True))
        if not removed:
            raise NoSecondFactor(f"{stored.email} has none.")
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
            what="Our support removed the two-step login from your account and logged you out everywhere.",
            reason=reason,
            remedy=f"Set it up again after your next login. {NOT_ASKED_FOR}",
        )


def deactivate(*, person: User, by: User, reason: str, now: datetime) -> None:
    """End every log-in of a person and allow no new one. Nothing if that is so already. Raises Forbidden."""
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
            what="Our support deactivated your account: you cannot log in any more.",
            reason=reason,
            remedy="If you think that this is wrong, answer this mail.",
        )


def reactivate(*, person: User, by: User, reason: str) -> None:
    """Let a person log in again. Nothing if they can. Raises Forbidden, AccountClosed."""
    with transaction.atomic():
        stored = _guarded(person, by)
        if stored.is_active:
            return
        if email_addresses.is_released(stored):
            raise AccountClosed("It has no address and no password any more: the person signs up again.")
        stored.is_active = True
        stored.save(update_fields=["is_active"])
        audit.record(action="user.reactivated_by_staff", actor=by, target=stored, detail={"reason": reason})
        staff_notices.to_person(
            person=stored, what="Our support reactivated your account: you can log in again.", reason=reason
        )


def keep_account(*, closure: AccountClosure, by: User, reason: str, now: datetime) -> None:
    """Stop the closing of an account for a person who asks for it. Raises Forbidden, closures.ClosureGone."""
    with transaction.atomic():
        _guarded(closure.user, by)
        closures.undo_by_staff(closure=closure, staff=by, reason=reason, now=now)


def reinstate(
    *, organization: Organization, owner_email: str, by: User, reason: str, now: datetime
) -> Membership:
    """Give an organization whose last owner has left to a person with a confirmed address. What ended with it (keys,
    plan, licenses) stays ended: the new owner makes and buys it again. Runs in the system scope.

    Raises NotSuspended, NoOwner.
    """
    with transaction.atomic():
        stored = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if stored.suspended_at is None:
            raise NotSuspended(f"{stored.name} has an owner: change the roles of its members.")
        owner = User.objects.filter(email=email_addresses.normalized(owner_email), is_active=True).first()
        if owner is None or not email_addresses.is_confirmed(owner):
            raise NoOwner("Nobody has signed up with this address and confirmed it.")
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
                what=f"Our support reinstated {stored.name}, which had no owner any more. "
                f"{owner.email} owns it now.",
                reason=reason,
                remedy=NOT_ASKED_FOR,
            )
    return membership


def change_role(*, membership: Membership, role: str, by: User, reason: str, now: datetime) -> RoleChange:
    """Give a member another role on behalf of the company; the member and the owners are told.

    Raises Forbidden, and what memberships.change_role_by_staff does.
    """
    with transaction.atomic():
        if membership.user_id == by.pk:
            raise Forbidden("Nobody changes their own role here: ask an owner of the organization.")
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
    """The person, and the owners who may not have asked for it."""
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
    for membership in owners.select_related("user"):
        staff_notices.to_person(
            person=membership.user,
            what=f"Our support changed the role of {membership.user.email} in {name} {is_now}.",
            reason=reason,
            remedy=NOT_ASKED_FOR,
        )


def _guarded(person: User, by: User) -> User:
    """The person's row, locked, if `by` may touch it."""
    stored = User.objects.select_for_update().get(pk=person.pk)
    if stored.pk == by.pk:
        raise Forbidden("This is your own account: use its settings in the portal.")
    if (stored.is_staff or stored.is_superuser) and not by.is_superuser:
        raise Forbidden("Only a superuser may touch the account of a member of staff.")
    return stored
