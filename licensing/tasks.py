"""Celery tasks of licensing, each one domain call."""

from celery import shared_task
from django.utils import timezone

from licensing import activations, licenses, usage
from superagent.foundation import tenancy


@shared_task
def sync_due_statuses() -> int:
    """Every ten minutes: store the status that the dates of licenses give, and mail about changes."""
    with tenancy.system("licenses that are due"):
        return licenses.sync_due_statuses(now=timezone.now())


@shared_task
def forget_old_license_records() -> dict[str, int]:
    """Daily: delete activations without a heartbeat for half a year, and old usage reports."""
    now = timezone.now()
    with tenancy.system("old records of licenses"):
        return {
            "activations": activations.forget_silent(now=now),
            "reports": usage.forget_old_reports(now=now),
        }
