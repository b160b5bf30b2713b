from uuid import UUID

from billing.outbox_handlers import PAYMENTS
from licensing import collection, policy_changes, subscriptions
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage


@outbox.handler(collection.TOPIC, queue=PAYMENTS)
def sync_collection(message: OutboxMessage) -> None:
    collection.sync(license_id=UUID(message.payload["license"]))


@outbox.handler(subscriptions.ISSUE)
def issue_late(message: OutboxMessage) -> None:
    subscriptions.issue_late(order_item_id=UUID(message.payload["order_item"]))


@outbox.handler(policy_changes.TOPIC)
def tell_of_policy(message: OutboxMessage) -> None:
    policy_changes.tell_next(message.payload)
