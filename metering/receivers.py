"""What metering does when accounts tells a fact."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from accounts.models import Organization
from metering.admission import counters


@receiver(post_save, sender=Organization)
def follow_clock(
    *, instance: Organization, created: bool, update_fields: frozenset[str] | None, **_: Any
) -> None:
    """The clock of a rehearsal moved: the period may have ended."""
    if not created and (update_fields is None or "rehearsal_now" in update_fields):
        counters.refresh_on_commit(instance)
