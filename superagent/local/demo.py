"""A demo organization that is clearly one: two weeks on Free, then nine days on Pro with a license; and a staff user.

Everything uses the real paths: sign-up, the request spool, usage events, Stripe Checkout, orders. Each step checks
first whether it was done, so that seeding is idempotent.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import httpx
from django.conf import settings

from accounts import api_keys, key_records, organizations, registration, rights_guard
from accounts.models import ApiKey, Organization, User
from accounts.roles import Scope
from billing.catalog import plans
from billing.customers import stripe_customers
from billing.models import BillingAccount, Interval, Order, Price
from billing.projection import customers as customer_projection
from billing.projection import subscriptions as subscription_projection
from billing.selling import checkout, orders
from billing.stripe import client
from licensing import usage, vault
from licensing.models import License
from metering.models import RequestRecord, UsagePeriod
from metering.quotas import periods
from metering.request_path import shipping, spool
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import outbox, tenancy

ORGANIZATION = "Demo organization"
STAFF_ORGANIZATION = "Demo staff"
PLAN, LICENSE_PRODUCT = "pro", "nextpanel-professional"
DAYS, DAYS_ON_PRO = 22, 9
SEED = 20_261_120  # the demo looks the same every time
CARD = {
    "cardNumber": "4242 4242 4242 4242",
    "cardExpiry": "12 / 34",
    "cardCvc": "123",
    "billingName": "Demo Customer",
}
# endpoint, method, share of the calls, typical duration in ms
ENDPOINTS = (
    ("/api/v1/usage/events", "POST", 58, 9),
    ("/api/v1/quotas", "GET", 22, 4),
    ("/api/v1/usage/stats", "GET", 12, 21),
    ("/api/v1/billing/subscription", "GET", 8, 6),
)
HOURS = (0, 24, 14.5)  # when a day's calls come: the earliest, the latest, the most


@dataclass(frozen=True, slots=True)
class Volume:
    """Usage of a working day."""

    calls: int
    tokens: int
    storage_mb: int


ON_FREE, ON_PRO = Volume(40, 420, 96), Volume(260, 58_000, 640)
TOKEN_JOBS = 5  # a day, each one usage event


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    password: str
    full_name: str


CUSTOMER = Person("demo@superagent.example", "Lantern-Harbor-29", "Demo Customer")
STAFF = Person("staff@superagent.example", "Beacon-Orchard-47", "Demo Staff")


class NotADemoInstallation(Exception):
    """Demo data is refused on https and live installations."""


def seed(*, now: datetime) -> Iterator[str]:
    """Create what is missing; yields a line for each step. `now` is real time. Calls the sandbox if it runs.

    Raises NotADemoInstallation.
    """
    if settings.STRIPE_LIVE_MODE or settings.IS_SECURE:
        raise NotADemoInstallation(
            "Demo data is for development: PUBLIC_URL is https, or Stripe is in live mode."
        )
    start = (now - timedelta(days=DAYS)).replace(minute=0, second=0, microsecond=0)
    upgraded_at = now - timedelta(days=DAYS_ON_PRO)
    _staff(now)
    customer = _person(CUSTOMER, ORGANIZATION, start)
    organization = customer.default_organization
    assert organization is not None
    with tenancy.tenant(organization):
        key = _api_key(organization, customer, start)
        is_fresh = not RequestRecord.objects.visible_to(organization).exists()
    if is_fresh:
        yield "two weeks of use on the free plan"
        _use(organization, key, ON_FREE, start=start, end=upgraded_at)
    if settings.STRIPE_USES_SANDBOX:
        yield from _buy(organization, customer, then=upgraded_at, now=now)
    if is_fresh:
        yield "nine days of use since then"
        with tenancy.tenant(organization):
            volume = ON_PRO if plans.subscription_of(organization) else ON_FREE
        _use(organization, key, volume, start=upgraded_at, end=now)
        key_records.note_use(key.pk)
    outbox.sweep()


def _person(person: Person, organization_name: str, now: datetime) -> User:
    with tenancy.system("was the demo made before?"):
        found = User.objects.filter(email=person.email).select_related("default_organization").first()
    if found is not None:
        return found

    def found_organization(user: User) -> None:
        organizations.create(name=organization_name, owner=user, now=now)

    return registration.create_person(
        email=person.email,
        password=person.password,
        full_name=person.full_name,
        now=now,
        and_then=found_organization,
        has_proven_email=True,
    )


def _staff(now: datetime) -> None:
    user = _person(STAFF, STAFF_ORGANIZATION, now)
    if not user.is_staff:
        user.is_staff = user.is_superuser = True
        with rights_guard.opened():
            user.save(update_fields=["is_staff", "is_superuser"])


def _api_key(organization: Organization, customer: User, now: datetime) -> ApiKey:
    found = ApiKey.objects.visible_to(organization).order_by("id").first()
    if found is not None:
        return found
    scopes = [Scope.USAGE_WRITE, Scope.USAGE_READ, Scope.QUOTAS_READ, Scope.BILLING_READ, Scope.LICENSES_READ]
    key, _ = api_keys.create(
        organization=organization,
        name="Production",
        scopes=scopes,
        created_by=customer,
        expires_at=None,
        now=now,
    )
    return key


# --- Use --------------------------------------------------------------------------------------------------------------


def _use(organization: Organization, key: ApiKey, volume: Volume, *, start: datetime, end: datetime) -> None:
    """Generate calls, tokens and storage in `[start, end)` during working hours, half as much on weekends."""
    dice = random.Random(SEED)  # noqa: S311 - sample data
    with tenancy.system("demo use"):
        period = periods.ensure(organization=organization, now=start)
        start = max(start, period.start)  # the first period on Pro begins when Stripe says
        lines: list[str] = []
        events: list[EventIn] = []
        day = start.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < end:
            share = dice.uniform(0.6, 1.2) * (0.5 if day.weekday() >= 5 else 1)
            calls = _moments(day, int(volume.calls * share), dice)
            lines += [_call(organization, key, period, at, dice) for at in calls if start <= at < end]
            events += [event for at, event in _events(day, volume, share, dice) if start <= at < end]
            day += timedelta(days=1)
        _ship(lines)
        ingest.record(organization=organization, events=events, principal=None, now=end)


def _moments(day: datetime, count: int, dice: random.Random) -> list[datetime]:
    return sorted(day + timedelta(hours=dice.triangular(*HOURS)) for _ in range(count))


def _events(
    day: datetime, volume: Volume, share: float, dice: random.Random
) -> Iterator[tuple[datetime, EventIn]]:
    """Returns a day's AI usage events, and storage every six hours."""
    for number, at in enumerate(_moments(day, TOKEN_JOBS, dice)):
        tokens = int(volume.tokens / TOKEN_JOBS * share * dice.uniform(0.5, 1.5))
        yield at, _event(f"demo-job-{day:%Y%m%d}-{number}", "ai_tokens", tokens, at)
    for hour in (6, 12, 18, 23):
        at = day + timedelta(hours=hour)
        yield at, _event(f"demo-storage-{at:%Y%m%d%H}", "storage_mb_hours", volume.storage_mb * 6, at)


def _event(event_id: str, meter: str, quantity: int, at: datetime) -> EventIn:
    return EventIn(event_id=event_id, meter=meter, quantity=quantity, occurred_at=at, source="demo")


def _call(
    organization: Organization, key: ApiKey, period: UsagePeriod, at: datetime, dice: random.Random
) -> str:
    """A line of the spool (metering.request_path.spool.Line), as the middleware would have written it."""
    endpoint, method, _, typical_ms = dice.choices(ENDPOINTS, weights=[entry[2] for entry in ENDPOINTS])[0]
    status = dice.choices((200, 400, 404, 500), weights=(979, 11, 8, 2))[0]
    duration_us = int(typical_ms * 1000 * dice.lognormvariate(0, 0.5))
    sent = dice.randint(60, 900) if method == "POST" else 0
    row = UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62 | dice.getrandbits(62))
    return "\t".join(
        (
            spool.VERSION, row.hex, f"demo-{row.hex}", organization.pk.hex, spool.NONE, key.pk.hex, period.pk.hex,
            method, endpoint, endpoint, str(status), str(duration_us), str(sent),
            str(dice.randint(120, 2600)), spool.NOT_COUNTED if status >= 500 else spool.COUNTED,
            str(int(at.timestamp() * 1_000_000)), spool.NONE,
        )
    )  # fmt: skip


def _ship(lines: list[str]) -> None:
    """Write a segment to the spool and ship it, as in production."""
    writer = spool.Writer(spool.spool_directory())
    for line in lines:
        writer.append(f"{line}\n".encode())
    writer.close()
    shipping.ship_all()


# --- Purchases --------------------------------------------------------------------------------------------------------


def _buy(organization: Organization, customer: User, *, then: datetime, now: datetime) -> Iterator[str]:
    """Buy Pro, as if at `then`, and a license; does nothing if both exist or the sandbox is down."""
    with tenancy.tenant(organization):
        has_plan = plans.subscription_of(organization) is not None
        if has_plan and License.objects.visible_to(organization).exists():
            return
    try:
        with _in_the_past(organization, now - then):
            is_bought = _subscribe(organization, customer, then)
        if is_bought:
            yield "Pro, paid with a test card on the payment page"
        if _license(organization, customer, now):
            yield "a NextPanel license"
    except (client.Unavailable, httpx.TransportError):
        return


@contextmanager
def _in_the_past(organization: Organization, ago: timedelta) -> Iterator[None]:
    """Within, purchases at the sandbox are dated `ago`."""
    switch = (
        f"{settings.SANDBOX_URL}/_sandbox/stripe/customers/{stripe_customers.ensure(organization)}/set_back"
    )
    httpx.post(switch, json={"seconds": int(ago.total_seconds())}, timeout=10).raise_for_status()
    try:
        yield
    finally:
        httpx.post(switch, json={"seconds": 0}, timeout=10)


def _subscribe(organization: Organization, customer: User, now: datetime) -> bool:
    """Pay for Pro on the sandbox's payment page. Returns False if it is paid already."""
    with tenancy.tenant(organization):
        if plans.subscription_of(organization) is not None:
            return False
    started = checkout.start_plan(
        organization=organization, user=customer, plan=PLAN, interval=Interval.MONTH, now=now
    )
    httpx.post(started.url, data=CARD | {"action": "pay"}, timeout=10)
    visit = client.call("checkout.sessions.retrieve", started.session_id)
    if not visit["subscription"]:
        return False
    with tenancy.system("what webhooks do, a little later"):
        subscription_projection.refresh(visit["subscription"])
        outbox.sweep()  # the card of the checkout becomes the customer's
        customer_projection.refresh(visit["customer"])
    return True


def _license(organization: Organization, customer: User, now: datetime) -> bool:
    """Order a license with the saved card, and report some usage of it."""
    with tenancy.tenant(organization):
        account = BillingAccount.objects.filter(organization=organization).first()
        has_card = account is not None and account.has_card
        if not has_card or License.objects.visible_to(organization).exists():
            return False
        price = Price.objects.get(product__slug=LICENSE_PRODUCT, interval=Interval.MONTH, is_active=True)
        order = orders.place(
            organization=organization,
            user=customer,
            items=[orders.Wanted(LICENSE_PRODUCT, {"interval": price.interval})],
            max_total=price.unit_amount,
            currency=price.currency,
            payment=Order.Payment.SAVED_CARD,
            now=now,
        )
        item = order.items.get()
    outbox.sweep()  # it is paid with the saved card
    with tenancy.tenant(organization):
        license_ = License.objects.visible_to(organization).filter(order_item=item).first()
    if license_ is None:
        return False
    key = vault.decrypt(license_.key_encrypted)
    for feature, count in (("databases", 12), ("domains", 4), ("emails", 83)):
        usage.apply(
            usage.Report(
                license_key=key, feature=feature, delta=None, used=count, idempotency_key=f"demo-{feature}"
            )
        )
    return True
