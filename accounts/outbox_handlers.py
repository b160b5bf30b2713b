from accounts import api_keys, key_records, notifications
from superagent.foundation import outbox, retries
from superagent.foundation.models import OutboxMessage


@outbox.handler(notifications.TOPIC)
def send_mail(message: OutboxMessage) -> None:
    notifications.deliver(message)


@outbox.handler("accounts.publish_api_key")
def publish_api_key(message: OutboxMessage) -> None:
    try:
        api_keys.publish(message.payload["api_key"])
    except key_records.LOST as error:
        raise retries.Retryable(str(error)) from error
