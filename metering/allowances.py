"""Allowances: what a plan gives an organization of each meter, copied to the quotas of its open period."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.models import Organization
from metering import counters, periods
from metering.models import Allowance, FormerTerms, Meter, Quota
from superagent.foundation.problems import Refusal


class UnknownMeter(Refusal):
    status = 400
    code = "unknown_meter"
    title = "There is no such meter"


@dataclass(frozen=True, slots=True)
class Terms:
    """`included` per period (None: unlimited); `overage_rate` in minor units of `currency` per unit."""

    meter_slug: str
    included: int | None
    is_hard: bool = False
    overage_rate: Decimal = Decimal(0)
    currency: str = "usd"


UNLIMITED = Terms(meter_slug="", included=None)


def apply(*, organization: Organization, terms: Sequence[Terms], now: datetime) -> None:
    """Make `terms` the organization's allowances and the terms of its open period. Idempotent.

    What was used before the change stays rated by the terms of then. Raises UnknownMeter.
    """
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        wanted = _by_meter(terms)
        Allowance.objects.visible_to(organization).exclude(meter__in=list(wanted)).delete()
        Allowance.objects.bulk_create(
            [
                Allowance(organization=organization, meter=meter, **_columns(each))
                for meter, each in wanted.items()
            ],
            update_conflicts=True,
            unique_fields=["organization", "meter"],
            update_fields=["included", "is_hard", "overage_rate", "currency", "updated_at"],
        )
        _apply_to_open_period(organization, wanted, now)
        counters.refresh_on_commit(organization)


def _by_meter(terms: Sequence[Terms]) -> dict[Meter, Terms]:
    meters = Meter.objects.in_bulk([each.meter_slug for each in terms], field_name="slug")
    if missing := sorted({each.meter_slug for each in terms} - set(meters)):
        raise UnknownMeter(f"There is no meter {', '.join(missing)}.")
    return {meters[each.meter_slug]: each for each in terms}


def _apply_to_open_period(organization: Organization, wanted: dict[Meter, Terms], now: datetime) -> None:
    period = periods.ensure(organization=organization, now=now)
    quotas = {
        quota.meter_id: quota
        for quota in Quota.objects.filter(period=period).order_by("id").select_for_update(no_key=True)
    }
    by_id = {meter.pk: each for meter, each in wanted.items()}
    Quota.objects.bulk_create(
        Quota(organization=organization, period=period, meter_id=meter_id, **_columns(each))
        for meter_id, each in by_id.items()
        if meter_id not in quotas
    )
    for meter_id, quota in quotas.items():
        _change(quota, by_id.get(meter_id, UNLIMITED), now)


def _change(quota: Quota, terms: Terms, now: datetime) -> None:
    columns = _columns(terms)
    if all(getattr(quota, name) == value for name, value in columns.items()):
        return
    if quota.used:
        FormerTerms.objects.create(
            organization_id=quota.organization_id,
            meter_id=quota.meter_id,
            quota=quota,
            included=quota.included,
            is_hard=quota.is_hard,
            overage_rate=quota.overage_rate,
            currency=quota.currency,
            used_until=quota.used,
            replaced_at=now,
        )
    for name, value in columns.items():
        setattr(quota, name, value)
    quota.save(update_fields=list(columns))


def _columns(terms: Terms) -> dict[str, int | bool | Decimal | str | None]:
    return {
        "included": terms.included,
        "is_hard": terms.is_hard,
        "overage_rate": terms.overage_rate,
        "currency": terms.currency,
    }
