"""Changing the address of an account: confirmed by the new mailbox, approved by the old one, reversible for a week.

The person who asks is logged in but may be a thief. So nothing changes until the old address approves, ending all
logins withdraws the request, and the old address can undo the change for seven days. An old address never confirmed
(a typo at sign-up) is not asked, and such a change cannot be undone.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.db import transaction

from accounts import (
    audit,
    closures,
    email_addresses,
    mail_links,
    notifications,
    people,
    revocation,
    throttles,
)
from accounts.models import EmailChange, User
from superagent.foundation.problems import Invalid, NotFound, Refusal

# URL names of the mailed links.
CONFIRM, ANSWER, UNDO = "email-change-confirm", "email-change-answer", "email-change-undo"


class EmailChangeGone(Refusal):
    status = HTTPStatus.GONE
    code = "email_change_gone"
    title = "This link no longer works"

    def __init__(self) -> None:
        super().__init__("The change was completed, withdrawn or undone, or the link has expired.")


def pending(*, user: User, now: datetime) -> EmailChange | None:
    """Returns the pending change, if any. `now` is real time, here and below."""
    change = EmailChange.objects.filter(user=user, made_at=None, withdrawn_at=None).first()
    return change if change is not None and _is_pending(change, user, now) else None


def ask(*, user: User, new_email: str, now: datetime) -> EmailChange:
    """Request a change, replacing a pending one, and mail both addresses. Raises Invalid for the current address.

    Only the new mailbox learns whether another account has the address.
    """
    return _ask(user=user, new_email=new_email, staff=None, reason="", now=now)


def ask_by_staff(*, user: User, new_email: str, staff: User, reason: str, now: datetime) -> EmailChange:
    """As `ask`, for a person who has lost access to the old mailbox and whom staff have identified.

    The new address must still confirm; the old one can stop the change, and undo it for a week.
    """
    return _ask(user=user, new_email=new_email, staff=staff, reason=reason, now=now)


def mail_again(*, user: User, now: datetime) -> bool:
    """Send the links of the pending change again. Returns False if there is none."""
    change = pending(user=user, now=now)
    if change is not None:
        _mail_both(change)
    return change is not None


def withdraw(*, user: User, now: datetime) -> bool:
    """Withdraw the pending change. Returns False if there is none."""
    with transaction.atomic():
        user = _locked(user)
        change = pending(user=user, now=now)
        if change is not None:
            _withdraw(change, because="asked for", now=now)
    return change is not None


def find(token: str, *, page: str, now: datetime) -> EmailChange:
    """Returns the change of a mailed link, with its user, while the link is valid. Raises NotFound, EmailChangeGone."""
    change_id = mail_links.email_change_id(token, page=page)
    if change_id is None:
        raise NotFound("This link is incomplete. Open it from the email again.")
    change = EmailChange.objects.select_related("user").filter(pk=change_id).first()
    if change is None:
        raise NotFound("There is no such change of address.")
    is_open = change.can_be_undone(now) if page == UNDO else _is_pending(change, change.user, now)
    if not is_open or not change.user.is_active:
        raise EmailChangeGone
    return change


def confirm(*, change: EmailChange, now: datetime, keep: revocation.Keep = revocation.NOTHING) -> EmailChange:
    """Confirm from the new mailbox. The caller has checked that the account's user opened the link.

    `keep` is the access that a first confirmation does not revoke. Raises EmailChangeGone, and EmailTaken if another
    confirmed account has the address.
    """
    with transaction.atomic():
        user, change = _locked_pending(change, now)
        change.confirmed_at = change.confirmed_at or now
        change.save(update_fields=["confirmed_at"])
        audit.record(action="user.email_change_confirmed", actor=user, target=user, detail=_addresses(change))
        if change.is_ready:
            _make(change, user, keep, now)
    return change


def agree(*, change: EmailChange, now: datetime) -> EmailChange:
    """Approve from the old mailbox. Raises EmailChangeGone, EmailTaken."""
    with transaction.atomic():
        user, change = _locked_pending(change, now)
        change.agreed_at = change.agreed_at or now
        change.save(update_fields=["agreed_at"])
        audit.record(action="user.email_change_agreed", actor=user, target=user, detail=_addresses(change))
        if change.is_ready:
            _make(change, user, revocation.NOTHING, now)
    return change


def refuse(*, change: EmailChange, now: datetime) -> User:
    """Refuse from the old mailbox (“this was not me”): somebody else is logged in and knows the password.

    Disables the password, ends every login and revokes what was set up since the change was requested. Returns the
    user, who chooses a new password through the mailbox. Raises EmailChangeGone.
    """
    with transaction.atomic():
        user, change = _locked_pending(change, now)
        _withdraw(change, because="refused from the old address", now=now)
        _lock_out(user, since=change.asked_at, because="change of address refused", now=now)
        _mail("email_change_refused", user.email, link=mail_links.to_reset_password(user))
    return user


def undo(*, change: EmailChange, now: datetime) -> User:
    """Restore the previous address, and secure the account as `refuse` does. Later changes are undone with this one.

    Raises EmailChangeGone, and EmailTaken if another account has confirmed the previous address since.
    """
    with transaction.atomic():
        user = _locked(change.user, change.old_email)
        change = EmailChange.objects.get(pk=change.pk)
        if not change.can_be_undone(now):
            raise EmailChangeGone
        later = EmailChange.objects.filter(user=user, made_at__gte=change.made_at, undone_at=None)
        later.update(undone_at=now)
        former = user.email
        closures.give_way(email=change.old_email, now=now)
        email_addresses.give(user=user, email=change.old_email)
        audit.record(
            action="user.email_change_undone", actor=user, target=user,
            detail={"from": former, "to": change.old_email},
        )  # fmt: skip
        _lock_out(user, since=change.asked_at, because="change of address undone", now=now)
        _mail("email_change_undone", user.email, link=mail_links.to_reset_password(user))
        _mail("email_change_undone_elsewhere", former)
    return user


def _ask(*, user: User, new_email: str, staff: User | None, reason: str, now: datetime) -> EmailChange:
    new_email = email_addresses.normalized(new_email)
    with transaction.atomic():
        user = _locked(user)
        if new_email == user.email:
            raise Invalid.field("/email", "unchanged", "This is the address of the account already.")
        for waiting in EmailChange.objects.filter(user=user, made_at=None, withdrawn_at=None):
            _withdraw(waiting, because="replaced by another", now=now)
        change = EmailChange.objects.create(
            user=user,
            old_email=user.email,
            new_email=new_email,
            old_was_confirmed=email_addresses.is_confirmed(user),
            asked_by_staff=staff,
            log_in_stamp=user.get_session_auth_hash(),
            asked_at=now,
        )
        _mail_both(change)
        audit.record(
            action="user.email_change_asked", actor=staff or user, target=user,
            detail=_addresses(change) | ({"reason": reason} if staff else {}),
        )  # fmt: skip
    return change


def _make(change: EmailChange, user: User, keep: revocation.Keep, now: datetime) -> None:
    is_first = not email_addresses.is_confirmed(user)
    closures.give_way(email=change.new_email, now=now)
    email_addresses.give(user=user, email=change.new_email)
    change.made_at = now
    change.save(update_fields=["made_at"])
    audit.record(action="user.email_changed", actor=user, target=user, detail=_addresses(change))
    if is_first:
        revocation.revoke_access(user=user, since=None, keep=keep, because="address confirmed", now=now)
    if change.old_was_confirmed:
        _mail(
            "email_changed", change.old_email, new_email=change.new_email, days=EmailChange.UNDO_PERIOD.days,
            link=mail_links.to_undo_change(change),
        )  # fmt: skip
    _mail("email_changed_here", change.new_email)


def _lock_out(user: User, *, since: datetime, because: str, now: datetime) -> None:
    """Disable the password and end all access: only the mailbox can recover the account."""
    user.set_unusable_password()
    user.save(update_fields=["password"])
    revocation.revoke_access(user=user, since=since, keep=revocation.NOTHING, because=because, now=now)


def _locked(user: User, *also_the_holder_of: str) -> User:
    """Returns the fresh user row, locked together with the accounts that hold these addresses."""
    return people.lock(user, *User.objects.filter(email__in=also_the_holder_of))


def _locked_pending(change: EmailChange, now: datetime) -> tuple[User, EmailChange]:
    """Raises EmailChangeGone."""
    user = _locked(change.user, change.new_email)
    change = EmailChange.objects.get(pk=change.pk)
    if not _is_pending(change, user, now) or not user.is_active:
        raise EmailChangeGone
    return user, change


def _is_pending(change: EmailChange, user: User, now: datetime) -> bool:
    return change.is_pending(now) and change.log_in_stamp == user.get_session_auth_hash()


def _withdraw(change: EmailChange, *, because: str, now: datetime) -> None:
    change.withdrawn_at = now
    change.save(update_fields=["withdrawn_at"])
    audit.record(
        action="user.email_change_withdrawn",
        target=change.user,
        detail=_addresses(change) | {"because": because},
    )


def _addresses(change: EmailChange) -> dict[str, Any]:
    return {"from": change.old_email, "to": change.new_email}


def _mail_both(change: EmailChange) -> None:
    """Mail both addresses. The new one may be a stranger's: it gets a few a day, and no text that the user typed."""
    is_taken = email_addresses.is_confirmed_by_anyone(change.new_email)
    if throttles.allows(name="mail_email_change", ident=change.new_email):
        if is_taken:
            _mail("email_change_taken", change.new_email)
        else:
            _mail("email_change_confirm", change.new_email, link=mail_links.to_confirm_change(change))
    if change.old_was_confirmed:
        _mail(
            "email_change_answer", change.old_email, new_email=change.new_email,
            link=mail_links.to_answer_change(change), is_asked=change.needs_old_address,
        )  # fmt: skip


def _mail(template: str, to: str, **context: Any) -> None:
    notifications.send(template=f"accounts/email/{template}", to=[to], context=context, dedupe_key=None)
