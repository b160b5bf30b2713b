"""What all changes of a subscription share: its state at Stripe, and one audit entry for each change."""

from accounts.models import AuditEntry
from billing.models import Subscription
from billing.selling import subscription_updates
from billing.stripe import client
from tests.billing.conftest import Customer


def entries(subscription: Subscription) -> list[tuple[str, dict[str, object]]]:
    rows = AuditEntry.objects.filter(target_id=str(subscription.pk), action__startswith="test.")
    return [(entry.action, entry.detail) for entry in rows.order_by("id")]


def test_a_change_is_recorded_once_until_something_else_is(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    for action, detail in [
        ("test.changed", {"plan": "a"}),
        ("test.changed", {"plan": "a"}),
        ("test.changed", {"plan": "b"}),
        ("test.canceled", {}),
        ("test.canceled", {}),
        ("test.changed", {"plan": "b"}),
    ]:
        subscription_updates.record_once(action, bought, detail)
    assert entries(bought) == [
        ("test.changed", {"plan": "a"}),
        ("test.changed", {"plan": "b"}),
        ("test.canceled", {}),
        ("test.changed", {"plan": "b"}),
    ]


def test_the_state_at_stripe_is_fetched_before_its_webhook_arrives(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    client.call("subscriptions.update", bought.stripe_id, params={"cancel_at_period_end": True})
    bought.refresh_from_db()
    assert not bought.is_canceling
    present, fetched = subscription_updates.as_stripe_says(bought)
    assert present.is_canceling and fetched["cancel_at_period_end"]
