"""Entry points of the worker: each is one call."""

from celery import shared_task
from django.utils import timezone

from licensing import activations, licenses, usage
from superagent.foundation import tenancy


@shared_task
def write_down_due_licenses() -> int:
    """Every ten minutes: give licenses the status that their dates have given them already, and tell people."""
    with tenancy.system("licenses that are due"):
        return licenses.sync_due_statuses(now=timezone.now())


@shared_task
def forget_old_license_records() -> dict[str, int]:
    """Daily: servers that were silent for half a year, and reports of use that nobody sends again."""
    now = timezone.now()
    with tenancy.system("old records of licenses"):
        return {
            "activations": activations.forget_silent(now=now),
            "reports": usage.forget_old_reports(now=now),
        }
