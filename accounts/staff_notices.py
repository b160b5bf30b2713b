"""Mails about changes by staff: to the person concerned, and to superusers if permissions or rules changed."""

from typing import Any

from accounts import notifications
from accounts.models import User


def to_person(*, person: User, what: str, reason: str, remedy: str = "") -> None:
    """Mail a person what our support changed in their account; `remedy` is what to do if they did not ask for it."""
    to_address(address=person.email, what=what, reason=reason, remedy=remedy)


def to_address(*, address: str, what: str, reason: str, remedy: str = "") -> None:
    """The same to any address, such as an organization's billing address."""
    notifications.send(
        template="accounts/email/support_notice",
        to=[address],
        context={"what": what, "reason": reason, "remedy": remedy},
        dedupe_key=None,
    )


def to_superusers(
    *, subject: str, by: User, reason: str, changes: dict[str, Any], also: User | None = None
) -> None:
    """Mail every superuser, and the person in `also`, what a member of staff changed."""
    addresses = set(User.objects.filter(is_superuser=True, is_active=True).values_list("email", flat=True))
    if also is not None and also.is_active:
        addresses.add(also.email)
    lines = [
        {"name": name, "before": as_text(change["from"]), "after": as_text(change["to"])}
        for name, change in changes.items()
    ]
    for address in sorted(addresses):
        notifications.send(
            template="accounts/email/staff_change",
            to=[address],
            context={"subject_line": subject, "by": by.email, "reason": reason, "changes": lines},
            dedupe_key=None,
        )


def as_text(value: Any) -> str:
    """Returns a value of a change as text for a mail."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(entry) for entry in value) or "none"
    return "–" if value in (None, "") else str(value)
