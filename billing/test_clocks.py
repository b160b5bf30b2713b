"""Rehearsals: an organization's time on one of Stripe's test clocks, on the sandbox as on Stripe.

The driver steps, it does not jump: to the next moment at which something happens and a second more, then it waits until
Stripe is ready and everything that came of it is worked off. A jump would finalize a renewal's draft before our line is
on it. Only in test mode; a clock is attached for good, and ending it deletes its customer at Stripe.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from django.conf import settings
from django.db import transaction
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

ADVANCE = "billing.advance_rehearsal"
READY_TIMEOUT_SECONDS = 120
SETTLE_TIMEOUT_SECONDS = 120
LONGEST_POLL_SECONDS = 1.0
MOMENT = timedelta(seconds=1)
LONGEST_STEP = timedelta(days=27)  # well under the two intervals that Stripe allows

Tell = Callable[[datetime], None]


class OnlyInTestMode(Refusal):
    status = HTTPStatus.CONFLICT
    code = "only_in_test_mode"
    title = "Time can be rehearsed in test mode only"


class NotRehearsing(Refusal):
    status = HTTPStatus.CONFLICT
    code = "not_rehearsing"
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
    """Stripe's clock or our own work did not come to rest in time."""


def start(organization: Organization) -> BillingAccount:
    """Attach the organization's customer to a new test clock that stands at this moment. Idempotent. Calls Stripe."""
    _refuse_live(organization)
    customer = stripe_customers.ensure(organization)
    with tenancy.system("rehearsal"):
        account = BillingAccount.objects.get(organization=organization)
        if account.test_clock_id:
            return account
        made = _clock_of(customer) or _new_clock(customer, organization.name)
        BillingAccount.objects.filter(pk=account.pk).update(test_clock_id=made["id"])
        _set_time(organization, made["frozen_time"])
        account.refresh_from_db()
        return account


def _clock_of(customer: str) -> Json | None:
    """The clock that a lost answer has attached already."""
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
    """Have the organization's time advanced to `to` by a worker: `advancing_to` tells until when.

    Raises NotRehearsing, TimeRunsForward, StillAdvancing.
    """
    with tenancy.system("rehearsal"), transaction.atomic():
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
        BillingAccount.objects.filter(pk=account.pk).update(rehearsal_target=to)
        audit.record(
            action="organization.rehearsal_advanced",
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
    """Where a worker is taking its time; None once it is there, and when the worker gave up."""
    if account.rehearsal_target is None:
        return None
    steps = OutboxMessage.objects.filter(
        organization_id=account.organization_id, topic=ADVANCE, state=OutboxMessage.State.PENDING
    )
    return account.rehearsal_target if steps.exists() else None


def run(
    *, organization: Organization, to: datetime, seconds: float = math.inf, tell: Tell | None = None
) -> bool:
    """Step until `to`, for at most `seconds` of real time; False if there is more to do. `tell` hears each step."""
    deadline = time.monotonic() + seconds
    with tenancy.system("rehearsal"):
        while time.monotonic() < deadline:
            account = _account(organization)
            wait_until_idle(account)
            here = _follow_clock(account)
            if here >= to.replace(microsecond=0):
                BillingAccount.objects.filter(pk=account.pk).update(rehearsal_target=None)
                return True
            there = _next_moment(account, here, to)
            client.call(
                "test_helpers.test_clocks.advance",
                account.test_clock_id,
                key=f"advance:{account.test_clock_id}:{int(there.timestamp())}",
                params={"frozen_time": int(there.timestamp())},
            )
            _wait_until_ready(account.test_clock_id)
            wait_until_idle(account)
            _follow_clock(account)
            if tell is not None:
                tell(there)
    return False


def stop(organization: Organization) -> None:
    """End the rehearsal: back to real time and the free plan, with a new customer. What was bought on the clock ends.

    Idempotent. Calls Stripe, where the clock is deleted with its customer.
    """
    with tenancy.system("rehearsal"):
        account = _account(organization)
        with suppress(client.Gone):
            client.call("test_helpers.test_clocks.delete", account.test_clock_id)
        with transaction.atomic():
            now = clock.now(account.organization)
            _end_what_was_bought(account, now)
            _forgive_what_was_owed(account)
            stripe_customers.replace(account, generation=account.test_clock_id)
            organizations.set_rehearsal_time(organization=account.organization, rehearsal_now=None)
            plans.put_in_force(organization=account.organization, now=timezone.now())
    organization.rehearsal_now = None


def sync_clock(clock_id: str) -> None:
    """A clock is ready: its organizations' time moves once their lanes are empty. Raises Stuck until then."""
    for account in BillingAccount.objects.filter(test_clock_id=clock_id).select_related("organization"):
        lane = account.stripe_customer_id or ""
        inbox.drain(lane)
        if inbox.pending([lane]):
            raise Stuck(f"events of {lane} are still to be worked off")
        _follow_clock(account)


def wait_until_idle(account: BillingAccount) -> None:
    """Work off all that Stripe reported and all that we owe Stripe, until nothing is left. Raises Stuck."""
    lane = account.stripe_customer_id or ""
    deadline = time.monotonic() + SETTLE_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        inbox.fetch_missing(lanes=[lane])
        inbox.drain(lane)
        messages = _messages(account)
        for message in messages.filter(due_at__lte=timezone.now()):
            outbox.deliver(message.pk)
        if not inbox.pending([lane]) and not messages.exists():
            if inbox.fetch_missing(lanes=[lane]) == 0:
                return
            continue
        time.sleep(0.05)
    raise Stuck(f"the work of {account.organization} did not come to rest")


def _messages(account: BillingAccount):  # type: ignore[no-untyped-def]  # the queryset's type is made by the plugin
    return OutboxMessage.objects.filter(
        organization_id=account.organization_id,
        state=OutboxMessage.State.PENDING,
        topic__startswith="billing.",
    ).exclude(topic=ADVANCE)


def _account(organization: Organization) -> BillingAccount:
    account = BillingAccount.objects.select_related("organization").filter(organization=organization).first()
    if account is None or not account.test_clock_id:
        raise NotRehearsing("Start a rehearsal first.")
    _refuse_live(account.organization)
    return account


def _refuse_live(organization: Organization) -> None:
    if settings.STRIPE_LIVE_MODE or organization.livemode:
        raise OnlyInTestMode("This installation has live keys, or the organization bills real money.")


def _next_moment(account: BillingAccount, here: datetime, to: datetime) -> datetime:
    """The next moment at which something happens, and a second more; never beyond `to`."""
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


def _follow_clock(account: BillingAccount) -> datetime:
    """Set our time to the clock's, close what has ended by it, and answer it; while it advances nothing moves."""
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
    if organization.rehearsal_now is None or organization.rehearsal_now < frozen:
        organizations.set_rehearsal_time(organization=organization, rehearsal_now=frozen)


def _end_what_was_bought(account: BillingAccount, now: datetime) -> None:
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


def _forgive_what_was_owed(account: BillingAccount) -> None:
    """Its customer is deleted at Stripe: nobody could pay these any more."""
    unsettled = [Invoice.Status.DRAFT, Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE]
    Invoice.objects.filter(organization=account.organization, status__in=unsettled).update(
        status=Invoice.Status.VOID, next_payment_attempt=None
    )


def go_on(*, organization_id: str, to: str, seconds: float = 60) -> None:
    """What the worker does of `advance`: some steps, then the rest by another message."""
    organization = Organization.objects.get(pk=organization_id)
    if not run(organization=organization, to=datetime.fromisoformat(to), seconds=seconds):
        with transaction.atomic():
            outbox.enqueue(
                topic=ADVANCE,
                payload={"organization": organization_id, "to": to},
                organization_id=organization.pk,
            )
