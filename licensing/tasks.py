from celery import shared_task
from django.utils import timezone

from licensing import licenses
from superagent.foundation import tenancy


@shared_task
def write_down_due_licenses() -> int:
    """Hourly: give licenses the status that their dates have given them already."""
    with tenancy.system("licenses that are due"):
        return licenses.write_down_due(now=timezone.now())
