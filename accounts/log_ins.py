"""All logins of a user: browser sessions and API tokens."""

import secrets
from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.models import EmailChange, User


def end_all(*, user: User, now: datetime, because: str, by: User | None = None) -> None:
    """End every session and API login of `user`, and withdraw a pending change of address: a thief may have begun them.

    A view that keeps its own session calls `access.stay_logged_in` afterwards. `because` is for the audit trail, which
    names `by` if it was not the user.
    """
    with transaction.atomic():
        user.log_in_stamp = secrets.token_hex(16)
        user.save(update_fields=["log_in_stamp"])
        user.token_families.filter(revoked_at__isnull=True).update(revoked_at=now)
        audit.record(action="user.log_ins_ended", actor=by or user, target=user, detail={"because": because})
        pending = EmailChange.objects.filter(user=user, made_at__isnull=True, withdrawn_at__isnull=True)
        if pending.update(withdrawn_at=now):
            audit.record(
                action="user.email_change_withdrawn",
                actor=by or user,
                target=user,
                detail={"because": because},
            )
