"""What metering does when accounts tells a fact."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save
from django.dispatch import receiver

from accounts.models import Organization
from metering import meters
from metering.admission import counters
from superagent.foundation import tenancy


@receiver(post_save, sender=Organization)
def follow_clock(
    *, instance: Organization, created: bool, update_fields: frozenset[str] | None, **_: Any
) -> None:
    """The test clock advanced: the period may have ended."""
    if not created and (update_fields is None or "test_clock_time" in update_fields):
        counters.refresh_on_commit(instance)


@receiver(post_migrate)
def seed_meters(*, app_config: AppConfig, **_: Any) -> None:
    """The meters that are shipped: the catalog's allowances and the counter of requests name them."""
    if app_config.label == "metering":
        with tenancy.system("seed meters"):
            meters.seed()
