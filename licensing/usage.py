"""Usage of features, reported by control panels.

One conditional UPDATE enforces the limit; one row for each report makes retries safe.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from licensing import keys, validation
from licensing.models import FeatureUsage, License, LicenseFeature
from licensing.validation import Code
from superagent.foundation import clock, idempotency, identifiers, tenancy
from superagent.foundation.problems import Invalid, Refusal

REPORTS_KEPT_FOR = timedelta(days=90)
BATCH = 5000
MAX_COUNT = 2_000_000_000  # of an unlimited feature: just below the range of the column


class LimitReached(Refusal):
    """The report would exceed the feature's limit."""

    status = HTTPStatus.CONFLICT
    code = "LIMIT_REACHED"
    title = "The license's limit is reached"


class LicenseRefused(Refusal):
    """The license is not active, or not on this server. `code` is one of `validation.Code`."""

    status = HTTPStatus.CONFLICT
    codes = {
        Code.PENDING: "The license is not paid yet",
        Code.SUSPENDED: "The license is suspended",
        Code.EXPIRED: "The license has expired",
        Code.REVOKED: "The license was revoked",
        Code.NOT_ACTIVATED: "The license is not activated on this server",
        Code.HEARTBEAT_DEAD: "The server missed its heartbeats",
        Code.TOO_MANY_ACTIVATIONS: "The license has reached its limit of activated servers",
    }

    def __init__(self, detail: str, code: Code) -> None:
        super().__init__(detail)
        self.code, self.title = code.value, self.codes[code]


class UnknownLicenseKey(Refusal):
    status = HTTPStatus.NOT_FOUND
    code = "NOT_FOUND"
    title = "No license has this key"


class NotIncluded(Refusal):
    status = HTTPStatus.CONFLICT
    code = "FEATURE_NOT_INCLUDED"
    title = "The plan does not include this feature"


@dataclass(frozen=True, slots=True)
class Report:
    """A change (`delta`) or the panel's own total (`used`); exactly one is not None."""

    license_key: str
    feature: str
    delta: int | None
    used: int | None
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class FeatureBalance:
    """Limit (None is unlimited) and usage of a feature after a report."""

    feature: str
    limit: int | None
    used: int

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(self.limit - self.used, 0)


def apply(report: Report) -> FeatureBalance:
    """Apply a report. Idempotent: the same idempotency key and content return the first result again.

    An increase needs an active license and must not exceed the limit; a decrease is always accepted. A refused report
    is not stored, so its key can be sent again. Raises LimitReached, NotIncluded, LicenseRefused, UnknownLicenseKey,
    idempotency.KeyReused, and Invalid for a decrease below zero.
    """
    license_ = license_with_key(report.license_key)
    feature = validation.feature_named(license_, report.feature)
    if feature is None:
        raise NotIncluded(f"The plan does not include {report.feature}.")
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        return _once(license_, feature["slug"], report)


def forget_old_reports(*, now: datetime) -> int:
    """Delete reports older than REPORTS_KEPT_FOR, after which a retry would be applied again.

    `now` is real time. Returns the number deleted.
    """
    old = FeatureUsage.objects.filter(pk__lt=identifiers.first_at(now - REPORTS_KEPT_FOR))
    forgotten = 0
    while batch := list(old.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        forgotten += old.filter(pk__in=batch).delete()[0]
    return forgotten


def license_with_key(license_key: str) -> License:
    """Returns the license of a panel's key. Raises UnknownLicenseKey."""
    try:
        license_ = validation.find(license_key)
    except keys.InvalidKeyFormat as error:
        raise UnknownLicenseKey(str(error)) from error
    if license_ is None:
        raise UnknownLicenseKey("No license has this key.")
    return license_


def _once(license_: License, slug: str, report: Report) -> FeatureBalance:
    now = clock.now(license_.organization)
    # Its status may have changed since the look-up. NO KEY: does not block inserts of rows that refer to it.
    locked = License.objects.select_for_update(no_key=True).get(pk=license_.pk)
    fingerprint = idempotency.body_hash([slug, report.delta, report.used])
    entry = FeatureUsage(
        organization_id=license_.organization_id,
        license=license_,
        idempotency_key=report.idempotency_key,
        body_hash=fingerprint,
        feature_slug=slug,
        delta=report.delta,
        reported_at=now,
    )
    FeatureUsage.objects.bulk_create([entry], ignore_conflicts=True)
    stored = FeatureUsage.objects.get(license=license_, idempotency_key=report.idempotency_key)
    if bytes(stored.body_hash) != fingerprint:
        raise idempotency.KeyReused("Send the content of the first report, or choose a new key.")
    if stored.pk != entry.pk:
        return FeatureBalance(stored.feature_slug, stored.limit, stored.used)
    refusal = validation.refused_for_state(locked, now)
    row = _apply_report(LicenseFeature.objects.filter(license=license_, slug=slug), report, refusal)
    stored.used, stored.limit = row.used, row.limit
    stored.save(update_fields=["used", "limit"])
    return FeatureBalance(slug, row.limit, row.used)


def _apply_report(
    feature: QuerySet[LicenseFeature], report: Report, refusal: validation.Verdict | None
) -> LicenseFeature:
    """Apply the report by one UPDATE with the limit as its condition: of two reports for the last unit, one matches."""
    if report.delta is not None:
        room = Q(limit__isnull=True, used__lte=MAX_COUNT - report.delta) | Q(
            limit__gte=F("used") + report.delta
        )
        is_increase = report.delta > 0
        allowed = room if is_increase else Q(used__gte=-report.delta)
        change: dict[str, Any] = {"used": F("used") + report.delta}
    else:
        is_increase = not feature.filter(used__gte=report.used).exists()
        allowed = Q(limit__isnull=True) | Q(limit__gte=report.used) | Q(used__gte=report.used)
        change = {"used": report.used}
    if is_increase and refusal is not None:
        raise LicenseRefused(refusal.detail, refusal.code)
    if feature.filter(allowed).update(**change):
        return feature.get()
    row = feature.get()
    if not is_increase:
        detail = f"Only {row.used} {row.slug} are in use. Send a smaller decrease."
        raise Invalid.field("/delta", "too_low", detail)
    raise LimitReached(
        f"{row.used} of {row.limit} {row.slug} are in use. A larger plan includes more.",
        feature=row.slug,
        limit=row.limit,
        used=row.used,
        remaining=row.remaining,
    )
