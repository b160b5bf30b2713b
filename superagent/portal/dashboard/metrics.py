"""The figures in the first row of the dashboard, each with its period or what it compares with."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import Organization
from billing.selling import overview as billing_overview
from metering.analytics import ranges, statistics
from metering.models import REQUESTS
from metering.quotas import quota_status
from superagent.foundation import charts
from superagent.foundation.templatetags.formats import money, percent, quantity
from superagent.foundation.templatetags.measures import delta
from superagent.portal.dashboard.calls import Calls, clock_of


@dataclass(frozen=True, slots=True)
class Metric:
    label: str
    value: str
    foot: str = ""
    unit: str = ""
    icon: str = ""
    href: str = ""
    live: str = ""
    change: str = ""
    spark: charts.Sparkline | None = None


def compose(
    organization: Organization,
    usage: quota_status.Overview,
    billing: billing_overview.Dashboard | None,
    calls: Calls,
    now: datetime,
) -> list[Metric]:
    metrics = [_calls(organization, usage, calls, now), _errors(organization, clock_of(organization, now))]
    if billing is not None:
        metrics += [_plan(billing), _next_invoice(billing)]
    return metrics


def _calls(organization: Organization, usage: quota_status.Overview, calls: Calls, now: datetime) -> Metric:
    """Of this period, against the same part of the one before."""
    used = next((quota.used for quota in usage.quotas if quota.meter.slug == REQUESTS), 0)
    period = usage.period
    earlier = ranges.period_before(organization, period)
    change = ""
    if earlier is not None and organization.test_clock_time is None:  # months of a test clock pass in minutes
        end = min(earlier.start + (now - period.start), earlier.end)
        before = dict(statistics.by_meter(organization, earlier.start, end)).get(REQUESTS, 0)
        change = delta(used, before, good="none", label=_("vs. the same time last period"))
    return Metric(
        label=_("API requests"),
        value=quantity(used),
        foot="" if change else _("this period"),
        icon="activity",
        href=reverse("requests"),
        live=REQUESTS,
        change=change,
        spark=charts.sparkline(calls.by_day, _("API requests a day, the last 30 days"))
        if calls.has_any
        else None,
    )


def _errors(organization: Organization, now: datetime) -> Metric:
    """Of 24 hours, against the 24 hours before."""
    day = timedelta(hours=24)
    (failed, total), (failed_before, total_before) = statistics.error_rates(
        organization, [(now - day, now), (now - 2 * day, now - day)]
    )
    change = ""
    if total and total_before:
        rate_before = failed_before / total_before
        change = delta(failed / total, rate_before, good="down", label=_("vs. the day before"))
    return Metric(
        label=_("Error rate"),
        value=percent(failed / total) if total else "–",
        foot=_("%(failed)s of %(total)s calls in 24 hours")
        % {"failed": quantity(failed), "total": quantity(total)}
        if total
        else _("no calls in 24 hours"),
        icon="alert",
        href=f"{reverse('requests')}?since=24h&status=failed",
        change=change,
    )


def _plan(billing: billing_overview.Dashboard) -> Metric:
    subscription = billing.subscription
    if subscription is None:
        foot = _("nothing to pay")
    elif subscription.is_canceling:
        foot = _("ends %(day)s") % {"day": _day(subscription.cancel_at or subscription.current_period_end)}
    else:
        foot = _("%(interval)s, renews %(day)s") % {
            "interval": subscription.get_interval_display().lower(),
            "day": _day(subscription.current_period_end),
        }
    name = billing.plan.name if billing.plan else _("Free")
    return Metric(label=_("Plan"), value=name, foot=foot, icon="card", href=reverse("billing"))


def _next_invoice(billing: billing_overview.Dashboard) -> Metric:
    """The first of the invoices that are coming; the card below has them all."""
    invoice = billing.next_invoice
    if invoice is None:
        foot = _("nothing to pay so far")
    elif invoice.is_due:
        foot = _("being made, estimated")
    else:
        foot = _("estimated, %(day)s") % {"day": _day(invoice.at)}
    more = len(billing.coming) - 1
    if more > 0:
        foot = _("%(foot)s; %(more)d more to come") % {"foot": foot, "more": more}
    return Metric(
        label=_("Next invoice"),
        value=money(invoice.total, invoice.currency) if invoice else "–",
        foot=foot,
        icon="receipt",
        href=reverse("invoices"),
    )


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "M j, Y")
