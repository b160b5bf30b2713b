"""Changes of a plan: mailed once and recorded once, whether our call or a webhook reports them."""

from datetime import timedelta
from typing import Any

from accounts import notifications, organizations
from accounts.models import AuditEntry
from billing.models import WebhookEvent
from billing.selling import cancellations, subscriptions
from billing.stripe import client, inbox
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import DECLINED_CARD, Customer
from tests.billing.projection.test_messages import mails


def change(customer: Customer, plan: str, interval: str = "month") -> None:
    subscriptions.change_plan(
        organization=customer.organization, user=customer.user, plan=plan, interval=interval, now=customer.now
    )
    customer.settle()


def headings(customer: Customer) -> list[object]:
    return [mail["heading"] for mail in mails(customer, "plan")]


def actions(customer: Customer) -> list[tuple[str, str]]:
    """What the trail tells of the plan, and who did it."""
    found = AuditEntry.objects.filter(organization=customer.organization).order_by("id")
    return [
        (entry.action, entry.actor_label)
        for entry in found
        if entry.action.startswith(("subscription.", "checkout."))
    ]


def trail(customer: Customer) -> list[str]:
    entries = AuditEntry.objects.filter(
        organization=customer.organization, action__startswith="subscription."
    )
    return list(entries.order_by("id").values_list("action", flat=True))


def test_a_purchase_is_in_the_trail_with_who_made_it_and_its_mail_is_the_receipt(customer: Customer) -> None:
    customer.buy("pro", "month")
    assert headings(customer) == [] and len(mails(customer, "receipt")) == 1
    assert actions(customer) == [
        ("checkout.started", customer.user.email),
        ("subscription.started", customer.user.email),
    ]


def test_each_change_of_a_plan_is_mailed_once_whoever_tells_of_it_again(customer: Customer) -> None:
    customer.buy("pro", "month")
    change(customer, "enterprise")
    change(customer, "pro")
    cancellations.resume(subscription=customer.subscription, now=customer.now)
    customer.settle()
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    customer.settle()
    cancellations.resume(subscription=customer.subscription, now=customer.now)
    customer.settle()
    end = customer.subscription.current_period_end
    day = f"{end:%b} {end.day}, {end.year}, {end:%H:%M} UTC"
    told = [
        "Your plan is now Enterprise, Monthly",
        f"Pro, Monthly starts on {day}",
        "Your plan stays Enterprise, Monthly",
        "Your Enterprise plan will end",
        "Your Enterprise plan continues",
    ]
    assert headings(customer) == told
    for event in WebhookEvent.objects.filter(type__startswith="customer.subscription."):
        inbox.replay(event)
    customer.settle()
    assert headings(customer) == told
    planned = mails(customer, "plan")[1]
    mail = notifications.render("billing/email/plan", [customer.organization.email], planned)
    assert mail.subject == f"Pro, Monthly starts on {day}"
    assert "From then on it costs $29.00 a month." in mail.body and "/billing/" in mail.body
    assert "From then on it costs $29.00 a month." in mail.alternatives[0].content


def test_a_planned_change_that_begins_and_a_plan_that_ends_are_mailed_and_in_the_trail(
    customer: Customer,
) -> None:
    customer.buy("enterprise", "month")
    customer.start_test_clock()
    change(customer, "pro")
    customer.advance(customer.subscription.current_period_end + timedelta(hours=2))
    assert headings(customer)[-1] == "Your plan is now Pro, Monthly"
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    customer.settle()
    customer.advance(customer.subscription.current_period_end + timedelta(hours=2))
    assert headings(customer)[-2:] == ["Your Pro plan will end", "Your Pro plan has ended"]
    told = [action for action, _who in actions(customer)]
    assert told.count("subscription.change_began") == 1 and told.count("subscription.ended") == 1


def test_a_plan_that_was_never_paid_is_not_told_of(customer: Customer) -> None:
    customer.pay(customer.visit("pro", "month").url, DECLINED_CARD)
    customer.settle()
    assert headings(customer) == [] and mails(customer, "receipt") == []
    assert [action for action, _who in actions(customer)] == ["checkout.started"]


def test_a_stranger_at_whom_the_bills_are_aimed_reads_no_name_and_is_not_flooded(
    customer: Customer, settings: Any
) -> None:
    """To cancel and to resume costs nothing: each was a mail, with 150 characters of whoever did it."""
    settings.THROTTLES = settings.THROTTLES | {"mail_billing": (2, 86_400)}
    customer.buy("pro", "month")
    organizations.update(
        organization=customer.organization, name="Call 0900 555 555 now", email="victim@example.org"
    )
    customer.organization.refresh_from_db()
    for _ in range(2):
        cancellations.cancel(subscription=customer.subscription, now=customer.now)
        cancellations.resume(subscription=customer.subscription, now=customer.now)
    rows = OutboxMessage.objects.filter(topic=notifications.TOPIC, payload__to=["victim@example.org"])
    assert [row.payload["context"]["organization"] for row in rows] == ["", ""]
    assert [action for action, _who in actions(customer)].count("subscription.canceled") == 2


def test_what_is_done_at_stripe_stands_in_the_trail_and_what_is_done_here_stands_there_once(
    customer: Customer,
) -> None:
    subscription = customer.buy("pro", "month")
    for canceling in (True, False):
        client.call(
            "subscriptions.update", subscription.stripe_id, params={"cancel_at_period_end": canceling}
        )
        customer.settle()
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    customer.settle()
    cancellations.resume(subscription=customer.subscription, now=customer.now)
    customer.settle()
    subscriptions.change_plan(
        organization=customer.organization, user=None, plan="enterprise", interval="month", now=customer.now
    )
    customer.settle()
    assert trail(customer) == [
        "subscription.started",
        "subscription.canceled_at_stripe",
        "subscription.resumed_at_stripe",
        "subscription.canceled",
        "subscription.resumed",
        "subscription.changed",
    ]


def test_a_webhook_that_is_quicker_than_our_own_answer_is_not_taken_for_somebody_at_stripe(
    customer: Customer, monkeypatch
) -> None:
    subscription = customer.buy("pro", "month")
    call = client.call

    def overtaken(operation: str, *path: str, **options: Any) -> Any:
        answer = call(operation, *path, **options)
        if operation == "subscriptions.update":
            customer.settle()
        return answer

    monkeypatch.setattr(client, "call", overtaken)
    cancellations.cancel(subscription=subscription, now=customer.now)
    assert trail(customer) == ["subscription.started", "subscription.canceled"]
