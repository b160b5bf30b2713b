from uuid import UUID

from celery import shared_task
from django.utils import timezone

from superagent.foundation import idempotency, outbox, tenancy


@shared_task
def deliver_outbox_message(message_id: str) -> None:
    outbox.deliver(UUID(message_id))


@shared_task
def sweep_outbox() -> int:
    """Every 15 seconds: deliver messages left by a lost nudge or a killed worker."""
    return outbox.sweep()


@shared_task
def forget_idempotency_records() -> int:
    """Hourly: delete responses older than 30 days, and their secrets after one."""
    with tenancy.system("forget idempotency records"):
        return idempotency.forget_old(now=timezone.now())


@shared_task
def forget_done_messages() -> int:
    """Daily: delete messages done a month ago; their dedupe keys are kept."""
    with tenancy.system("forget messages that are done"):
        return outbox.forget_done(now=timezone.now())
