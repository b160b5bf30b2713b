"""Entry points of the worker: each is one call."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from billing.tasks import PAYMENTS
from licensing import activations, collection, licenses, policy_changes, subscriptions, usage
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage


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


@outbox.handler(collection.TOPIC, queue=PAYMENTS)
def settle_collection(message: OutboxMessage) -> None:
    collection.settle(license_id=UUID(message.payload["license"]))


@outbox.handler(subscriptions.ISSUE)
def issue_late(message: OutboxMessage) -> None:
    subscriptions.issue_late(order_item_id=UUID(message.payload["order_item"]))


@outbox.handler(policy_changes.TOPIC)
def tell_of_policy(message: OutboxMessage) -> None:
    policy_changes.tell_next(message.payload)
