"""Stripe test clocks: simulate an organization's time, with the sandbox as with Stripe.

Time advances in steps: to one second after the next event, then it waits until Stripe is ready and all resulting work
is processed. One long step would finalize a renewal's draft before our overage line is on it. Test mode only. Attaching
a clock is permanent; deleting it deletes its customer at Stripe.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit, organizations
from accounts.models import Organization
from billing.catalog import plans
from billing.customers import stripe_customers
from billing.models import BillingAccount, Invoice, Subscription
from billing.overage import charges
from billing.stripe import client, inbox
from billing.stripe.reading import Json, identifier
from metering.models import UsagePeriod
from metering.quotas import periods
from superagent.foundation import clock, outbox, retries, tenancy
from superagent.foundation.models import OutboxMessage
from superagent.foundation.problems import Refusal
from superagent.foundation.templatetags.formats import absolute

ADVANCE = "billing.advance_test_clock"
READY_TIMEOUT_SECONDS = 120
IDLE_TIMEOUT_SECONDS = 120
LONGEST_POLL_SECONDS = 1.0
MOMENT = timedelta(seconds=1)
LONGEST_STEP = timedelta(days=27)  # well under the two intervals that Stripe allows

Tell = Callable[[datetime], None]


class OnlyInTestMode(Refusal):
    status = HTTPStatus.CONFLICT
    code = "only_in_test_mode"
    title = "Test clocks need test mode"


class NotOnTestClock(Refusal):
    status = HTTPStatus.CONFLICT
    code = "not_on_test_clock"
    title = "This organization is not on a test clock"


class TimeRunsForward(Refusal):
    status = HTTPStatus.CONFLICT
    code = "time_runs_forward"
    title = "A test clock can only be advanced"


class StillAdvancing(Refusal):
    status = HTTPStatus.CONFLICT
    code = "still_advancing"
    title = "The test clock is being advanced already"


class Stuck(retries.Retryable):
    """The test clock or our own queues did not finish in time."""


def start(organization: Organization) -> BillingAccount:
    """Attach the organization's customer to a new test clock set to the present. Idempotent. Calls Stripe."""
    _refuse_live(organization)
    customer = stripe_customers.ensure(organization)
    with tenancy.system("test clock"):
        account = BillingAccount.objects.get(organization=organization)
        if account.test_clock_id:
            return account
        made = _clock_of(customer) or _new_clock(customer, organization.name)
        BillingAccount.objects.filter(pk=account.pk).update(test_clock_id=made["id"])
        _set_time(organization, made["frozen_time"])
        account.refresh_from_db()
        return account


def _clock_of(customer: str) -> Json | None:
    """The clock attached by an earlier call whose response was lost, if any."""
    attached = identifier(client.call("customers.retrieve", customer).get("test_clock"))
    return client.call("test_helpers.test_clocks.retrieve", attached) if attached else None


def _new_clock(customer: str, name: str) -> Json:
    begins = math.ceil(timezone.now().timestamp())
    return client.call(
        "test_helpers.test_clocks.create",
        key=f"clock:{customer}:{begins}",
        params={"frozen_time": begins, "customer": customer, "name": name[:200]},
    )


def advance(*, organization: Organization, to: datetime) -> None:
    """Enqueue advancing the organization's time to `to`; `advancing_to` returns the target while a worker is at it.

    Raises NotOnTestClock, TimeRunsForward, StillAdvancing.
    """
    with tenancy.system("test clock"), transaction.atomic():
        BillingAccount.objects.select_for_update().filter(organization=organization).first()  # one at a time
        account = _account(organization)
        if target := advancing_to(account):
            raise StillAdvancing(
                f"It is on its way to {absolute(target)}. Advance it again once it is there."
            )
        if to <= clock.now(account.organization):
            raise TimeRunsForward(
                f"It is {clock.now(account.organization):%Y-%m-%d %H:%M} UTC there already."
            )
        BillingAccount.objects.filter(pk=account.pk).update(test_clock_target=to)
        audit.record(
            action="organization.test_clock_advanced",
            organization=account.organization,
            target=account.organization,
            detail={"to": to.isoformat()},
        )
        outbox.enqueue(
            topic=ADVANCE,
            payload={"organization": str(organization.pk), "to": to.isoformat()},
            organization_id=organization.pk,
        )


def advancing_to(account: BillingAccount) -> datetime | None:
    """Returns the target while a worker advances the clock; None once it is reached or the worker gave up."""
    if account.test_clock_target is None:
        return None
    steps = OutboxMessage.objects.filter(
        organization_id=account.organization_id, topic=ADVANCE, state=OutboxMessage.State.PENDING
    )
    return account.test_clock_target if steps.exists() else None


def run(
    *, organization: Organization, to: datetime, seconds: float = math.inf, tell: Tell | None = None
) -> bool:
    """Step until `to`, for at most `seconds` of real time; `tell` is called after each step.

    Returns False if `to` is not reached.
    """
    deadline = time.monotonic() + seconds
    with tenancy.system("test clock"):
        events = inbox.RecentEvents(_account(organization).stripe_customer_id or "")
        while time.monotonic() < deadline:
            account = _account(organization)
            wait_until_idle(account, events)
            here = _sync_time(account)
            if here >= to.replace(microsecond=0):
                BillingAccount.objects.filter(pk=account.pk).update(test_clock_target=None)
                return True
            there = _next_moment(account, here, to)
            client.call(
                "test_helpers.test_clocks.advance",
                account.test_clock_id,
                key=f"advance:{account.test_clock_id}:{int(there.timestamp())}",
                params={"frozen_time": int(there.timestamp())},
            )
            _wait_until_ready(account.test_clock_id)
            wait_until_idle(account, events)
            _sync_time(account)
            if tell is not None:
                tell(there)
    return False


def stop(organization: Organization) -> None:
    """Delete the clock: back to real time and the free plan, with a new customer. What was bought on the clock ends.

    Idempotent. Calls Stripe, where the clock is deleted with its customer.
    """
    with tenancy.system("test clock"):
        account = _account(organization)
        with suppress(client.StripeObjectMissing):
            client.call("test_helpers.test_clocks.delete", account.test_clock_id)
        with transaction.atomic():
            now = clock.now(account.organization)
            _end_subscriptions(account, now)
            _void_open_invoices(account)
            stripe_customers.replace(account, generation=account.test_clock_id)
            organizations.set_test_clock_time(organization=account.organization, test_clock_time=None)
            plans.apply_current_plan(organization=account.organization, now=timezone.now())
    organization.test_clock_time = None


def sync_clock(clock_id: str) -> None:
    """Apply the time of a clock that is ready, once its customers' events are processed. Raises Stuck until then."""
    for account in BillingAccount.objects.filter(test_clock_id=clock_id).select_related("organization"):
        customer = account.stripe_customer_id or ""
        inbox.process_queue(customer)
        if inbox.pending([customer]):
            raise Stuck(f"events of {customer} are not processed yet")
        _sync_time(account)


def wait_until_idle(account: BillingAccount, events: inbox.RecentEvents | None = None) -> None:
    """Process the customer's events and outbox messages until none are left. Raises Stuck.

    `events` are polled from where the last wait ended.
    """
    customer = account.stripe_customer_id or ""
    events = events or inbox.RecentEvents(customer)
    deadline = time.monotonic() + IDLE_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        events.fetch()
        inbox.process_queue(customer)
        messages = _messages(account)
        for message in messages.filter(due_at__lte=timezone.now()):
            outbox.deliver(message.pk)
        if not inbox.pending([customer]) and not messages.exists():
            if events.fetch() == 0:
                return
            continue
        time.sleep(0.05)
    raise Stuck(f"the queues of {account.organization} did not become empty in time")


def _messages(account: BillingAccount) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(
        organization_id=account.organization_id,
        state=OutboxMessage.State.PENDING,
        topic__startswith="billing.",
    ).exclude(topic=ADVANCE)


def _account(organization: Organization) -> BillingAccount:
    account = BillingAccount.objects.select_related("organization").filter(organization=organization).first()
    if account is None or not account.test_clock_id:
        raise NotOnTestClock("Attach it to a test clock first.")
    _refuse_live(account.organization)
    return account


def _refuse_live(organization: Organization) -> None:
    if settings.STRIPE_LIVE_MODE or organization.livemode:
        raise OnlyInTestMode("This installation has live keys, or the organization bills real money.")


def _next_moment(account: BillingAccount, here: datetime, to: datetime) -> datetime:
    """Returns one second after the next event on the timeline, at most `to`."""
    organization = account.organization
    moments: list[datetime | None] = []
    running = Subscription.objects.filter(organization=organization, ended_at__isnull=True)
    for subscription in running:
        moments += [subscription.current_period_end, subscription.trial_end, subscription.cancel_at]
    unsettled = Invoice.objects.filter(
        organization=organization, status__in=[Invoice.Status.DRAFT, Invoice.Status.OPEN]
    )
    for invoice in unsettled:
        moments += [invoice.automatically_finalizes_at, invoice.next_payment_attempt]
    moments += UsagePeriod.objects.filter(organization=organization, closed_at__isnull=True).values_list(
        "end", flat=True
    )
    ahead = [moment + MOMENT for moment in moments if moment is not None and moment + MOMENT > here]
    return min([*ahead, here + LONGEST_STEP, to.replace(microsecond=0)])


def _wait_until_ready(clock_id: str) -> None:
    pause = 0.02
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        status = client.call("test_helpers.test_clocks.retrieve", clock_id)["status"]
        if status == "ready":
            return
        if status != "advancing":
            raise retries.Permanent(f"the test clock {clock_id} failed at Stripe: {status}")
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_POLL_SECONDS)
    raise Stuck(f"the test clock {clock_id} is still advancing")


def _sync_time(account: BillingAccount) -> datetime:
    """Set our time to the clock's unless it is advancing, close the periods that have ended, and return the time."""
    found = client.call("test_helpers.test_clocks.retrieve", account.test_clock_id)
    organization = account.organization
    if found["status"] == "ready":
        _set_time(organization, found["frozen_time"])
    now = clock.now(organization)
    ended = UsagePeriod.objects.filter(organization=organization, closed_at__isnull=True, end__lte=now)
    for period in ended.order_by("end"):
        periods.close(period=period, now=now)
    periods.ensure(organization=organization, now=now)
    charges.place(organization=organization, now=now)
    return now


def _set_time(organization: Organization, frozen_time: int) -> None:
    frozen = datetime.fromtimestamp(frozen_time, UTC)
    if organization.test_clock_time is None or organization.test_clock_time < frozen:
        organizations.set_test_clock_time(organization=organization, test_clock_time=frozen)


def _end_subscriptions(account: BillingAccount, now: datetime) -> None:
    from billing.signals import subscription_changed

    running = Subscription.objects.select_for_update().filter(
        organization=account.organization, ended_at__isnull=True
    )
    for subscription in running:
        previous, subscription.status = subscription.status, Subscription.Status.CANCELED
        subscription.ended_at = subscription.canceled_at = now
        subscription.past_due_since = None
        subscription.save()
        subscription_changed.send(
            sender=Subscription, subscription=subscription, previous_status=previous,
            previous_pending_price=subscription.pending_price, now=now,
        )  # fmt: skip


def _void_open_invoices(account: BillingAccount) -> None:
    """Void open invoices: their customer is deleted at Stripe, so they cannot be paid."""
    unsettled = [Invoice.Status.DRAFT, Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE]
    Invoice.objects.filter(organization=account.organization, status__in=unsettled).update(
        status=Invoice.Status.VOID, next_payment_attempt=None
    )


def continue_advancing(*, organization_id: str, to: str, seconds: float = 60) -> None:
    """The outbox handler of `advance`: take some steps, then enqueue the rest."""
    organization = Organization.objects.get(pk=organization_id)
    if not run(organization=organization, to=datetime.fromisoformat(to), seconds=seconds):
        with transaction.atomic():
            outbox.enqueue(
                topic=ADVANCE,
                payload={"organization": organization_id, "to": to},
                organization_id=organization.pk,
            )
