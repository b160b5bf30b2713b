"""Allowances: what a plan gives an organization of each meter, copied to the quotas of its open period.

A month of use never begins anew because of a change. What it includes in all is, for each plan, that plan's allowance
times the share of the month that it held: so a change raises or lowers the limit by the difference times the share of
the month that remains, rounded down. What was used beyond a lowered limit under terms of old is overage by their rate.
A change that is told after its month has passed raises what that month includes, and never lowers it.

Allowances of meters that do not add up are levels (seats, highest storage), of which a part of a month includes all: a
change sets the limit to the new allowance, and levels reached before it are within the terms of then.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import Organization
from metering.admission import counters
from metering.aggregations import ADDING_UP
from metering.models import Allowance, FormerTerms, Meter, Quota, UsagePeriod
from metering.quotas import facts, months, periods
from metering.rating import counting, rating
from superagent.foundation.problems import Refusal


class UnknownMeter(Refusal):
    status = 400
    code = "unknown_meter"
    title = "There is no such meter"


class TermsOutOfBounds(Refusal):
    status = 400
    code = "terms_out_of_bounds"
    title = "The allowance or its rate is too large"


MAX_RATE = 1_000_000
"""Minor units per unit; so no line is priced beyond what a number can bear before billions of units."""


@dataclass(frozen=True, slots=True)
class Terms:
    """`included` per period (None: unlimited); `overage_rate` in minor units of `currency` per unit."""

    meter_slug: str
    included: int | None
    is_hard: bool = False
    overage_rate: Decimal = Decimal(0)
    currency: str = "usd"


UNLIMITED = Terms(meter_slug="", included=None)


def apply(
    *, organization: Organization, terms: Sequence[Terms], since: datetime | None = None, now: datetime
) -> None:
    """Make `terms` the organization's allowances and the terms of its open period. Idempotent.

    They hold `since` that moment (if it is not given, `now`): from the start of the period, or as the first ones ever,
    they are its only terms; later, what was used before stays rated by the terms of then. Raises UnknownMeter and
    TermsOutOfBounds.
    """
    since = since or now
    for each in terms:
        for problem in out_of_bounds(included=each.included, overage_rate=each.overage_rate).values():
            raise TermsOutOfBounds(f"{each.meter_slug}: {problem}")
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        wanted = _by_meter(terms)
        period = periods.ensure(organization=organization, now=max(now, since))
        former = {each.meter_id: each.included for each in Allowance.objects.visible_to(organization)}
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
        by_id = {meter.pk: each for meter, each in wanted.items()}
        _apply_to(period, by_id, former, since if former else period.start)
        for passed in periods.passed_since(period, since):
            _raise(passed, by_id, former, since)
        for later in periods.opened_ahead(period):
            _apply_to(later, by_id, former, later.start)
        counters.refresh_on_commit(organization)


def out_of_bounds(*, included: int | None, overage_rate: Decimal) -> dict[str, str]:
    """Returns {field: error}, for forms in which staff enter terms."""
    wrong = {}
    if included is not None and included > counting.MAX_TOTAL:
        wrong["included"] = _("At most %(most)s, or empty for unlimited.") % {
            "most": f"{counting.MAX_TOTAL:,}"
        }
    if overage_rate > MAX_RATE:
        wrong["overage_rate"] = _("At most %(most)s minor units per unit.") % {"most": f"{MAX_RATE:,}"}
    return wrong


def limits_after(
    *, organization: Organization, terms: Sequence[Terms], since: datetime
) -> dict[str, int | None]:
    """{meter slug: what the open period would include in all} if `terms` held `since` then. Changes nothing."""
    period = periods.ensure(organization=organization, now=since)
    former = {
        each.meter.slug: each.included
        for each in Allowance.objects.visible_to(organization).select_related("meter")
    }
    quotas = {
        quota.meter.slug: quota for quota in Quota.objects.filter(period=period).select_related("meter")
    }
    remaining = months.share(period.end - since, period.end - period.start)
    return {
        each.meter_slug: each.included
        if not quotas[each.meter_slug].meter.adds_up
        else limit_after(
            limit=quotas[each.meter_slug].included,
            used=quotas[each.meter_slug].used,
            before=former.get(each.meter_slug),
            after=each.included,
            remaining=remaining,
        )
        for each in terms
        if each.meter_slug in quotas
    }


def limit_after(
    *, limit: int | None, used: int, before: int | None, after: int | None, remaining: Fraction
) -> int | None:
    """What a month includes in all when its allowance changes from `before` to `after` for its `remaining` share.

    `limit` is what it included so far, `used` what was used of it; None is unlimited.
    """
    if after is None:
        return None
    if limit is None or before is None:
        return used + math.floor(after * remaining)
    return max(0, limit + math.floor((after - before) * remaining))


def _by_meter(terms: Sequence[Terms]) -> dict[Meter, Terms]:
    meters = Meter.objects.in_bulk([each.meter_slug for each in terms], field_name="slug")
    if missing := sorted({each.meter_slug for each in terms} - set(meters)):
        raise UnknownMeter(f"There is no meter {', '.join(missing)}.")
    return {meters[each.meter_slug]: each for each in terms}


def _apply_to(
    period: UsagePeriod,
    wanted: dict[UUID, Terms],
    former: dict[UUID, int | None],
    since: datetime,
) -> None:
    quotas = {quota.meter_id: quota for quota in _locked_quotas(period)}
    adding_up = set(Meter.objects.filter(aggregation__in=ADDING_UP).values_list("pk", flat=True))
    remaining = months.share(period.end - since, period.end - period.start)
    Quota.objects.bulk_create(
        Quota(organization_id=period.organization_id, period=period, meter_id=meter_id, **_columns(each))
        for meter_id, terms in wanted.items()
        if meter_id not in quotas
        for share in [remaining if meter_id in adding_up else Fraction(1)]
        for each in [replace(terms, included=_part(terms.included, share))]
    )
    replaced = _replaced(period, since)
    for meter_id, quota in quotas.items():
        terms = wanted.get(meter_id, UNLIMITED)
        limit = _limit(quota, period, terms, former.get(meter_id), since)
        _change(quota, replace(terms, included=limit), replaced)


def _locked_quotas(period: UsagePeriod) -> QuerySet[Quota]:
    rows = Quota.objects.filter(period=period).select_related("meter").order_by("id")
    return rows.select_for_update(no_key=True, of=["self"])


def _limit(
    quota: Quota, period: UsagePeriod, terms: Terms, before: int | None, since: datetime
) -> int | None:
    """What `period` includes in all when `terms` hold `since` then; from its start they are its only ones."""
    if since <= period.start or not quota.meter.adds_up:
        return terms.included
    remaining = months.share(period.end - since, period.end - period.start)
    return limit_after(
        limit=quota.included, used=quota.total, before=before, after=terms.included, remaining=remaining
    )


def _raise(
    period: UsagePeriod, wanted: dict[UUID, Terms], former: dict[UUID, int | None], since: datetime
) -> None:
    """Give a month that has passed what was paid for it, of which we did not know. What was charged comes back with the
    next month.

    Nobody pays afterwards for what was shown as included, so a lower limit has come too late.
    """
    replaced = _replaced(period, since)
    for quota in _locked_quotas(period):
        terms = wanted.get(quota.meter_id, UNLIMITED)
        limit = _limit(quota, period, terms, former.get(quota.meter_id), since)
        if quota.included is None or (limit is not None and limit <= quota.included):
            continue
        _change(quota, replace(terms, included=limit), replaced)
        Quota.objects.filter(pk=quota.pk, is_closed=True).update(has_unrated_use=True)


def _part(included: int | None, share: Fraction) -> int | None:
    return None if included is None else math.floor(included * share)


@dataclass(frozen=True, slots=True)
class _Replaced:
    """When the terms of a period are replaced, and what of each meter was used since."""

    at: datetime
    used: Mapping[UUID, int]


def _replaced(period: UsagePeriod, since: datetime) -> _Replaced | None:
    """None: from the start of `period`, so that the new terms are its only ones."""
    return _Replaced(since, facts.used_since(period, since)) if since > period.start else None


def _change(quota: Quota, terms: Terms, replaced: _Replaced | None) -> None:
    """Give `quota` other terms.

    Former ones are kept also when nothing is known to have been used under them: it may still be on its way.
    """
    columns = _columns(terms)
    if all(getattr(quota, name) == value for name, value in columns.items()):
        return
    if replaced is not None:
        FormerTerms.objects.create(
            organization_id=quota.organization_id,
            meter_id=quota.meter_id,
            quota=quota,
            included=quota.included,
            is_hard=quota.is_hard,
            overage_rate=quota.overage_rate,
            currency=quota.currency,
            used_until=quota.total - replaced.used.get(quota.meter_id, 0),
            replaced_at=replaced.at,
        )
    for name, value in columns.items():
        setattr(quota, name, value)
    quota.save(update_fields=list(columns))
    if terms.included is not None and quota.meter.adds_up:
        rating.cap(quota, included=terms.included)


def _columns(terms: Terms) -> dict[str, int | bool | Decimal | str | None]:
    return {
        "included": terms.included,
        "is_hard": terms.is_hard,
        "overage_rate": terms.overage_rate,
        "currency": terms.currency,
    }
