"""What a control panel uses of a feature: one conditional update guards the limit, one row for each report makes it
safe to send again."""

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
MAX_COUNT = 2_000_000_000  # what an unlimited feature counts to; the column ends a little later


class LimitReached(Refusal):
    """The feature has no room for this."""

    status = HTTPStatus.CONFLICT
    code = "LIMIT_REACHED"
    title = "The license's limit is reached"


class LicenseRefused(Refusal):
    """The license is not active, or not on this server; `code` is validation's own."""

    status = HTTPStatus.CONFLICT
    codes = {
        Code.PENDING: "The license is not paid yet",
        Code.SUSPENDED: "The license is suspended",
        Code.EXPIRED: "The license has expired",
        Code.REVOKED: "The license was revoked",
        Code.NOT_ACTIVATED: "The license is not activated on this server",
        Code.HEARTBEAT_DEAD: "The server was silent for too long",
        Code.TOO_MANY_ACTIVATIONS: "The license is activated on as many servers as it allows",
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
    """Either `delta` (one more, three less) or `used` (the panel's own count); exactly one is not None."""

    license_key: str
    feature: str
    delta: int | None
    used: int | None
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class FeatureBalance:
    feature: str
    limit: int | None
    used: int

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(self.limit - self.used, 0)


def apply(report: Report) -> FeatureBalance:
    """Book a report; the same idempotency key and content gives the first answer again.

    An increase needs an active license and room; a decrease is always taken. A refused report leaves no trace, so its
    key may be sent again. Raises LimitReached, NotIncluded, LicenseRefused, UnknownLicenseKey, idempotency.KeyReused.
    """
    license_ = license_with_key(report.license_key)
    feature = validation.feature_named(license_, report.feature)
    if feature is None:
        raise NotIncluded(f"The plan does not include {report.feature}.")
    with tenancy.tenant(license_.organization_id), transaction.atomic():
        return _once(license_, feature["slug"], report)


def forget_old_reports(*, now: datetime) -> int:
    """The daily job: drop reports that arrived REPORTS_KEPT_FOR before `now` (real time); return how many.

    Until then a report that is sent again changes nothing.
    """
    old = FeatureUsage.objects.filter(pk__lt=identifiers.first_at(now - REPORTS_KEPT_FOR))
    forgotten = 0
    while batch := list(old.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        forgotten += old.filter(pk__in=batch).delete()[0]
    return forgotten


def license_with_key(license_key: str) -> License:
    """The license of a key that a panel sent, looked up before its tenant is known. Raises UnknownLicenseKey."""
    try:
        license_ = validation.find(license_key)
    except keys.InvalidKeyFormat as error:
        raise UnknownLicenseKey(str(error)) from error
    if license_ is None:
        raise UnknownLicenseKey("No license has this key.")
    return license_


def _once(license_: License, slug: str, report: Report) -> FeatureBalance:
    now = clock.now(license_.organization)
    # Its state may have changed since the key was looked up. NO KEY: rows that refer to it may be written meanwhile.
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
    verdict = validation.refused_for_state(locked, now)
    row = _apply_report(LicenseFeature.objects.filter(license=license_, slug=slug), report, verdict)
    stored.used, stored.limit = row.used, row.limit
    stored.save(update_fields=["used", "limit"])
    return FeatureBalance(slug, row.limit, row.used)


def _apply_report(
    feature: QuerySet[LicenseFeature], report: Report, stopped: validation.Verdict | None
) -> LicenseFeature:
    """One UPDATE whose condition is the rule: two reports for the last unit cannot both match it."""
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
    if is_increase and stopped is not None:
        raise LicenseRefused(stopped.detail, stopped.code)
    if feature.filter(allowed).update(**change):
        return feature.get()
    row = feature.get()
    if not is_increase:
        detail = f"Only {row.used} {row.slug} are in use: no more than that can be given back."
        raise Invalid.field("/delta", "too_low", detail)
    raise LimitReached(
        f"{row.used} of {row.limit} {row.slug} are in use; a larger plan includes more.",
        feature=row.slug,
        limit=row.limit,
        used=row.used,
        remaining=row.remaining,
    )
