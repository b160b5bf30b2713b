"""Quota warnings: a mail to owners and admins at 80 and at 100 percent, once for each period, meter and threshold."""

from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from prometheus_client import Counter

from accounts import email_addresses, mail_links, notifications
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from metering.models import Quota, QuotaAlert
from superagent.foundation.templatetags.formats import absolute

THRESHOLDS_PERCENT = (80, 100)
TEMPLATE = "metering/email/quota_warning"

failed_warnings = Counter(
    "superagent_quota_warnings_failed", "Quota warnings that failed; each is tried again half a minute later"
)

log = structlog.get_logger(__name__)


def raise_due(*, now: datetime) -> int:
    """Raise what is due in every period that is open by its organization's own clock; returns the number of mails.

    A threshold that was jumped over is raised together with the higher one, and one mail tells the highest. Runs in
    the system scope; each quota has a transaction of its own, and one that fails is tried again by the next run.

    Reads what PostgreSQL knows: the task ships this host's requests first, other hosts ship theirs every 2 seconds.
    """
    open_now = Coalesce(F("period__organization__test_clock_time"), now)
    quotas = (
        Quota.objects.filter(
            _is_untold(),
            is_closed=False,
            included__gt=0,
            period__start__lte=open_now,
            period__end__gt=open_now,
        )
        .select_related("meter", "period__organization")
        .order_by("id")
    )
    return sum(_raise_alone(quota, now) for quota in quotas.iterator(chunk_size=500))


def _is_untold() -> Q:
    """Quotas whose highest threshold that is reached has no alert."""
    untold = Q(pk__in=[])
    for threshold, following in zip(THRESHOLDS_PERCENT, (*THRESHOLDS_PERCENT[1:], None), strict=True):
        told = QuotaAlert.objects.filter(
            period=OuterRef("period"), meter=OuterRef("meter"), threshold_percent__gte=threshold
        )
        stretch = Q(used__gte=F("included") * threshold / 100)
        if following is not None:
            stretch &= Q(used__lt=F("included") * following / 100)
        untold |= stretch & Q(~Exists(told))
    return untold


def _raise_alone(quota: Quota, now: datetime) -> bool:
    try:
        return _raise(quota, now)
    except Exception:  # whatever it was, the other organizations are warned
        failed_warnings.inc()
        log.exception(
            "quota_warning_failed", alarm=True, quota=str(quota.pk), organization=str(quota.organization_id)
        )
        return False


def _raise(quota: Quota, now: datetime) -> bool:
    used = quota.used
    reached = [each for each in THRESHOLDS_PERCENT if used * 100 >= (quota.included or 0) * each]
    if not reached:
        return False
    with transaction.atomic():
        before = set(
            QuotaAlert.objects.filter(period=quota.period_id, meter=quota.meter_id).values_list(
                "threshold_percent", flat=True
            )
        )
        new = [each for each in reached if each not in before]
        if not new:
            return False
        QuotaAlert.objects.bulk_create(
            [
                QuotaAlert(
                    organization_id=quota.organization_id,
                    period_id=quota.period_id,
                    meter_id=quota.meter_id,
                    threshold_percent=each,
                    used=used,
                    raised_at=quota.period.organization.test_clock_time or now,
                )
                for each in new
            ],
            ignore_conflicts=True,  # another run raised it; the mail's dedupe key keeps it single
        )
        if max(new) < max(before, default=0):
            return False
        _mail(quota, max(new), used)
    return True


def _mail(quota: Quota, threshold: int, used: int) -> None:
    people = Membership.objects.filter(
        organization=quota.organization_id, role__in=[Role.OWNER, Role.ADMIN], user__is_active=True
    ).select_related("user")
    organization = quota.period.organization
    for membership in people.order_by("id"):
        notifications.send(
            template=TEMPLATE,
            to=[membership.user.email],
            context={
                "organization": _name_for(membership.user, organization),
                "meter": quota.meter.name,
                "unit": quota.meter.unit,
                "threshold": threshold,
                "percent": used * 100 // (quota.included or 1),
                "used": f"{used:,}",
                "limit": f"{quota.included:,}",
                "is_hard": quota.is_hard,
                "resets_at": absolute(quota.period.end),
                "url": mail_links.page("usage", organization=organization),
            },
            dedupe_key=f"quota:{quota.period_id}:{quota.meter_id}:{threshold}:{membership.user_id}",
            organization=organization,
        )


def _name_for(user: User, organization: Organization) -> str:
    """The name is free text by the founder: it is not mailed to an unconfirmed address, which may be a stranger's."""
    return organization.name if email_addresses.is_confirmed(user) else _("Your organization")
