"""Invitations to join an organization, sent by mail. Opening the link proves access to the mailbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit, mail_links, memberships, names, notifications, people, registration, throttles
from accounts.models import Invitation, Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.problems import NotFound, Refusal

LIFETIME = timedelta(days=7)
MAX_OPEN = 50


class AlreadyMember(Refusal):
    code = "already_member"
    title = "This person is already a member"


class AlreadyInvited(Refusal):
    code = "already_invited"
    title = "This address has already been invited"


class TooManyInvitations(Refusal):
    code = "too_many_invitations"
    title = "Too many invitations are open"


class InvitationGone(Refusal):
    status = HTTPStatus.GONE
    code = "invitation_gone"
    title = "This invitation is no longer open"


class AnotherAddress(Refusal):
    status = HTTPStatus.FORBIDDEN
    code = "another_address"
    title = "This invitation is for another email address"


def invite(
    *,
    organization: Organization,
    email: str,
    role: str,
    invited_by: User,
    now: datetime,
) -> Invitation:
    """Invite `email` to join with `role`, and mail the link. API keys cannot invite.

    Raises people.EmailNotVerified, memberships.OwnersOnly, memberships.RoleNotAllowed,
    AlreadyMember, AlreadyInvited, TooManyInvitations, throttles.TooManyAttempts. `now` is real time.
    """
    people.require_verified(invited_by)
    email = email.strip().lower()
    with _within_limits(organization, email, invited_by), transaction.atomic():
        memberships.check_manager_may_give(organization=organization, user=invited_by, role=role)
        if Membership.objects.visible_to(organization).filter(user__email=email).exists():
            raise AlreadyMember(f"{email} is already a member. Change their role in the list of members.")
        own = Invitation.objects.visible_to(organization)
        # Withdraw an expired one: the unique constraint allows one open invitation per address.
        own.filter(email=email, accepted_at=None, revoked_at=None, expires_at__lte=now).update(revoked_at=now)
        if own.open(now).count() >= MAX_OPEN:
            raise TooManyInvitations(f"Withdraw one of the {MAX_OPEN} open invitations first.")
        try:
            with transaction.atomic():
                invitation = Invitation.objects.create(
                    organization=organization,
                    email=email,
                    role=role,
                    invited_by=invited_by,
                    created_at=now,
                    expires_at=now + LIFETIME,
                )
        except IntegrityError:
            raise AlreadyInvited(f"{email} has an open invitation. Withdraw it to send a new one.") from None
        _mail(invitation, organization, invited_by)
        audit.record(
            action="invitation.created",
            organization=organization,
            actor=invited_by,
            target=invitation,
            detail={"role": role},
        )
    return invitation


@contextmanager
def _within_limits(organization: Organization, email: str, invited_by: User) -> Iterator[None]:
    """Limit invitations by organization, inviter, network and recipient (there, only those that are sent)."""
    throttles.consume(name="invite", ident=str(organization.pk))
    throttles.consume(name="invite_person", ident=str(invited_by.pk))
    if (request := audit.current_request()) is not None:
        throttles.consume_network(name="invite_network", address=audit.client_address(request))
    try:
        with throttles.counted(name="mail_invitation", ident=email):
            yield
    except throttles.TooManyAttempts as refusal:
        raise throttles.TooManyAttempts(
            refusal.name, refusal.wait_seconds, f"{email} has been invited several times today."
        ) from None


def revoke(*, organization: Organization, invitation_id: UUID, now: datetime) -> Invitation:
    """Withdraw an invitation. Idempotent. Raises NotFound, InvitationGone if it was accepted."""
    with transaction.atomic():
        invitation = (
            Invitation.objects.visible_to(organization)
            .select_for_update(no_key=True)
            .filter(pk=invitation_id)
            .first()
        )
        if invitation is None:
            raise NotFound("There is no such invitation.")
        if invitation.accepted_at is not None:
            raise InvitationGone("It was accepted. Remove the member instead.")
        if invitation.revoked_at is None:
            invitation.withdraw(now)
            audit.record(action="invitation.revoked", organization=organization, target=invitation)
    return invitation


def find(token: str) -> Invitation:
    """Returns the open invitation of a mailed link, with its organization. Raises NotFound, InvitationGone."""
    invitation_id = mail_links.invitation_id(token)
    if invitation_id is None:
        raise NotFound("This link is incomplete. Open it from the email again.")
    with tenancy.system("an invitation is read before its reader is a member"):
        invitation = (
            Invitation.objects.select_related("organization", "invited_by").filter(pk=invitation_id).first()
        )
    if invitation is None:
        raise NotFound("There is no such invitation.")
    if not invitation.is_open(timezone.now()):
        raise InvitationGone("It was accepted or withdrawn, or has expired. Ask for a new one.")
    return invitation


def open_for(user: User, now: datetime) -> list[Invitation]:
    """Returns the open invitations to the user's address. The caller has checked that the address is confirmed."""
    with tenancy.system("a person's invitations are read before they are a member"):
        return list(
            Invitation.objects.open(now).filter(email=user.email).select_related("organization", "invited_by")
        )


def accept(*, invitation: Invitation, user: User, now: datetime) -> Membership:
    """Make the invited user a member. Raises AnotherAddress, InvitationGone."""
    if user.email != invitation.email:
        raise AnotherAddress(f"Log in with {invitation.email}, or ask for an invitation to {user.email}.")
    with tenancy.system("an invitation is accepted before its reader is a member"), transaction.atomic():
        return _accept(invitation, user, now)


def register(*, invitation: Invitation, password: str, full_name: str, now: datetime) -> User:
    """Sign up the invited person with the address that the link has proven, as a member of the organization.

    Raises registration.EmailTaken, Invalid, InvitationGone.
    """

    def join(user: User) -> None:
        _accept(invitation, user, now)

    return registration.create_person(
        email=invitation.email,
        password=password,
        full_name=full_name,
        now=now,
        and_then=join,
        has_proven_email=True,
    )


def _accept(invitation: Invitation, user: User, now: datetime) -> Membership:
    stored = (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=invitation.pk)
    )
    if not stored.is_open(now):
        raise InvitationGone("It was accepted or withdrawn, or has expired. Ask for a new one.")
    stored.accepted_at, stored.accepted_by = now, user
    stored.save(update_fields=["accepted_at", "accepted_by"])
    return memberships.add(organization=stored.organization, user=user, role=Role(stored.role), now=now)


def _mail(invitation: Invitation, organization: Organization, invited_by: User) -> None:
    """Mail the invitation. No user-supplied text in the subject; names in the body are stripped of links."""
    notifications.send(
        template="accounts/email/invitation",
        to=[invitation.email],
        context={
            "organization": names.unlinked(names.cleaned(organization.name)),
            "invited_by": invited_by.email,
            "role": str(Role(invitation.role).label),
            "days": LIFETIME.days,
            "link": mail_links.to_invitation(invitation),
        },
        dedupe_key=f"invitation:{invitation.pk}",
        organization=organization,
    )
