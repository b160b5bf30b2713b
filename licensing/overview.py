"""Licenses for the portal: status, features, activations."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from accounts.models import Organization
from billing.models import Subscription
from licensing import validation
from licensing.managers import LicenseQuerySet
from licensing.models import Activation, License, LicenseFeature, Policy
from superagent.foundation.prepared import Given, Prepared

NEWEST = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A license with its status and related rows at one time."""

    license: License
    status: str
    features: list[LicenseFeature]
    until: datetime | None
    is_ending: bool
    warning: str
    subscription: Subscription | None

    @property
    def is_alive(self) -> bool:
        return self.status == License.Status.ACTIVE

    @property
    def badge(self) -> str:
        """Returns the status as billing shows it: `canceling` for an active license that is canceled."""
        return "canceling" if self.is_alive and self.can_be_resumed else self.status

    @property
    def can_be_canceled(self) -> bool:
        subscription = self.subscription
        return subscription is not None and not subscription.has_ended and not subscription.is_canceling

    @property
    def can_be_resumed(self) -> bool:
        return self.subscription is not None and self.subscription.is_canceling

    @property
    def can_change_tier(self) -> bool:
        subscription = self.subscription
        return self.is_alive and self.can_be_canceled and subscription is not None and subscription.is_live


@dataclass(frozen=True, slots=True)
class Server:
    """An activation. One that `is_silent` missed its heartbeats and no longer counts."""

    activation: Activation
    is_silent: bool


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """A feature before and after a change of tier. A limit of None is unlimited; `after` is 0 if the tier lacks it."""

    name: str
    used: int
    before: int | None
    after: int | None

    @property
    def is_over(self) -> bool:
        """Returns whether more is used than will be included: nothing is deleted, but nothing can be added."""
        return self.after is not None and self.used > self.after


@dataclass(frozen=True, slots=True)
class Summary:
    """For the dashboard: the newest licenses with their status, and the newest one that is suspended, if any is."""

    newest: list[tuple[License, License.Status]]
    suspended: License | None


def licenses_of(organization: Organization) -> LicenseQuerySet:
    """Returns the queryset with the related rows that pages need: two queries."""
    paid_by = "order_item__subscription__"
    related = ("policy", "organization", f"{paid_by}price", f"{paid_by}product", f"{paid_by}organization",
               f"{paid_by}pending_price__product")  # fmt: skip
    found: LicenseQuerySet = License.objects.visible_to(organization)
    return found.select_related(*related).prefetch_related("features")


def rows(licenses: Iterable[License], now: datetime) -> list[Row]:
    """Returns rows of `licenses`, which `licenses_of` has read."""
    return [row(license_, now) for license_ in licenses]


def row(license_: License, now: datetime) -> Row:
    status = license_.status_at(now)
    is_ending = license_.is_ending
    until = license_.expires_at if is_ending else license_.renews_at
    if license_.suspends_at is not None and status == License.Status.ACTIVE:
        until = license_.suspends_at
    return Row(
        license=license_,
        status=status.value,
        features=list(license_.features.all()),
        until=until,
        is_ending=is_ending,
        warning=_warning(license_, status),
        subscription=getattr(license_.order_item, "subscription", None),
    )


def servers(license_: License, activations: Iterable[Activation], now: datetime) -> list[Server]:
    """Returns activations with their present state."""
    return [
        Server(row, is_silent=validation.is_dead(license_, row.last_heartbeat_at, now)) for row in activations
    ]


def compared(license_: License, policy: Policy) -> list[FeatureChange]:
    """Returns the limits that the license has now, and would have under `policy`."""
    then = {feature.slug: feature for feature in policy.features.all()}
    now = {feature.slug: feature for feature in license_.features.all()}
    return [
        FeatureChange(
            name=(then.get(slug) or now[slug]).name,
            used=now[slug].used if slug in now else 0,
            before=now[slug].limit if slug in now else 0,
            after=then[slug].limit if slug in then else 0,
        )
        for slug in now | then
    ]


def summary(*, organization: Organization, now: datetime) -> Summary:
    """Returns what the dashboard shows, however many licenses there are. `now` is the organization's."""
    found = [(license_, license_.status_at(now)) for license_ in _newest(organization=organization.pk)]
    suspended = next((each for each, status in found if status == License.Status.SUSPENDED), None)
    if suspended is None and len(found) > NEWEST:
        older = License.objects.visible_to(organization).with_status(now).select_related("policy")
        suspended = older.filter(status_now=License.Status.SUSPENDED).order_by("-id").first()
    return Summary(newest=found[:NEWEST], suspended=suspended)


_newest: Prepared[License] = Prepared(
    lambda: (
        License.objects.filter(organization=Given("organization"))
        .select_related("policy")
        .order_by("-id")[: NEWEST + 1]
    )
)


def _warning(license_: License, status: License.Status) -> str:
    """Returns `payment` (suspended), `payment_soon` (a payment failed), `manual` (by staff) or an empty text."""
    if status == License.Status.SUSPENDED:
        return "manual" if license_.is_held_by_staff else "payment"
    return "payment_soon" if status == License.Status.ACTIVE and license_.suspends_at is not None else ""
