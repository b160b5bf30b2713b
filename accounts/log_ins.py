"""Every log-in of a person at once: sessions in browsers and tokens of the API."""

import secrets
from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.models import EmailChange, User


def end_all(*, user: User, now: datetime, because: str, by: User | None = None) -> None:
    """End every session and every API log-in of `user`, and withdraw a change of e-mail that waits.

    Whoever asked for these may be a thief. A view that keeps its own session calls `access.stay_logged_in` after this.
    `because` is for the audit trail, which names `by` if it was not the person.
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
