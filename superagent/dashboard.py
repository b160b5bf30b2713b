"""The dashboard: what metering, billing, licensing and accounts know of an organization, on one page."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import people, roles
from accounts.models import ApiKey, AuditEntry, Membership, Organization
from accounts.roles import Scope
from accounts.templatetags.accounts_words import action_words
from billing import overview as billing_overview
from licensing import overview as licensing_overview
from metering import overview as metering_overview
from metering import quotas, statistics
from metering.models import REQUESTS, RequestRecord
from superagent.foundation import charts
from superagent.foundation.templatetags.formats import absolute, money, percent, quantity
from superagent.foundation.templatetags.navigation import first_url
from superagent.foundation.templatetags.ui import delta

ACTIVITY_ROWS = 6
ACTIVITY_READ = 100  # entries, of which runs are told in one row
CHART_DAYS = 30
NEARLY_USED_PERCENT = 80


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    text: str
    action: str
    href: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Banner:
    """The one problem that matters most, with what to do about it."""

    tone: str
    title: str
    text: str
    action: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Activity:
    """What someone did, the last time `at`; `times` in a row, with nothing else between."""

    text: str
    about: str
    actor: str
    at: datetime
    icon: str
    times: int


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


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of the last 30 days: `points` by day and endpoint."""

    days: list[datetime]
    points: list[statistics.Point]

    @property
    def by_day(self) -> list[int]:
        counted = dict.fromkeys(self.days, 0)
        for point in self.points:
            counted[point.start] += point.quantity
        return list(counted.values())


@dataclass(frozen=True, slots=True)
class LiveParts:
    """What follows the calls while the page is open; `chart` is None when nothing was called."""

    steps: list[Step]
    chart: charts.Drawing | None
    activity: list[Activity]
    has_called: bool

    @property
    def is_new(self) -> bool:
        return any(not step.is_done for step in self.steps)


@dataclass(frozen=True, slots=True)
class Page:
    """`billing` is None for a role that may not read it."""

    now: datetime
    banner: Banner | None
    metrics: list[Metric]
    usage: quotas.Overview
    paces: list[tuple[quotas.QuotaView, str]]
    billing: billing_overview.Dashboard | None
    licenses: licensing_overview.Summary
    live: LiveParts
    stream_url: str


def compose(*, membership: Membership, now: datetime) -> Page:
    """What the member of `membership` sees of the organization; `now` is the organization's."""
    organization = membership.organization
    usage = quotas.overview(organization, now)
    licenses = licensing_overview.summary(organization=organization, now=now)
    billing = None
    if roles.allows(membership.role, Scope.BILLING_READ):
        billing = billing_overview.dashboard(organization, usage, now)
    calls = _calls_of_month(organization, now)
    return Page(
        now=now,
        banner=_banner(usage, billing, licenses),
        metrics=_metrics(organization, usage, billing, calls, now),
        usage=usage,
        paces=[(view, metering_overview.forecast(view, usage.period, now)) for view in usage.quotas],
        billing=billing,
        licenses=licenses,
        live=_live_parts(membership, usage, calls),
        stream_url=first_url("api-usage-stream"),
    )


def compose_live_parts(*, membership: Membership, now: datetime) -> LiveParts:
    """What of the page is drawn anew when figures have changed."""
    organization = membership.organization
    return _live_parts(membership, quotas.overview(organization, now), _calls_of_month(organization, now))


def _live_parts(membership: Membership, usage: quotas.Overview, calls: Calls) -> LiveParts:
    organization = membership.organization
    has_called = _has_called(organization, usage)
    return LiveParts(
        steps=_steps(membership, has_called=has_called),
        chart=_chart(calls),
        activity=_activity(organization),
        has_called=has_called,
    )


def _has_called(organization: Organization, usage: quotas.Overview) -> bool:
    if any(quota.meter.slug == REQUESTS and quota.used for quota in usage.quotas):
        return True
    return RequestRecord.objects.visible_to(organization).exists()


# --- Figures ----------------------------------------------------------------------------------------------------------


def _metrics(
    organization: Organization,
    usage: quotas.Overview,
    billing: billing_overview.Dashboard | None,
    calls: Calls,
    now: datetime,
) -> list[Metric]:
    metrics = [_calls(organization, usage, calls, now), _errors(organization, now)]
    if billing is not None:
        metrics += [_plan(billing), _next_invoice(billing)]
    return metrics


def _calls(organization: Organization, usage: quotas.Overview, calls: Calls, now: datetime) -> Metric:
    """Of this period, against the same part of the one before."""
    used = next((quota.used for quota in usage.quotas if quota.meter.slug == REQUESTS), 0)
    period = usage.period
    earlier = metering_overview.period_before(organization, period)
    change = ""
    if earlier is not None:
        end = min(earlier.start + (now - period.start), earlier.end)
        before = dict(statistics.by_meter(organization, earlier.start, end)).get(REQUESTS, 0)
        change = delta(used, before, good="none", label=_("vs. the same time last period"))
    return Metric(
        label=_("API requests"),
        value=quantity(used),
        foot="" if change else _("this period"),
        icon="activity",
        href=first_url("requests"),
        live=REQUESTS,
        change=change,
        spark=charts.sparkline(calls.by_day, _("API requests a day, the last 30 days"))
        if calls.points
        else None,
    )


def _errors(organization: Organization, now: datetime) -> Metric:
    """Of 24 hours, against the 24 hours before."""
    day = timedelta(hours=24)
    failed, total = statistics.error_rate(organization, now - day, now)
    failed_before, total_before = statistics.error_rate(organization, now - 2 * day, now - day)
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
        href=f"{first_url('requests')}?since=24h&status=failed",
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
    return Metric(label=_("Plan"), value=name, foot=foot, icon="card", href=first_url("billing"))


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
        href=first_url("invoices"),
    )


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "M j, Y")


def _calls_of_month(organization: Organization, now: datetime) -> Calls:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in reversed(range(CHART_DAYS))]
    until_now = now + timedelta(microseconds=1)
    points = statistics.series(
        organization, days[0], until_now, interval=timedelta(days=1), dimension="endpoint"
    )
    return Calls(days, points)


def _chart(calls: Calls) -> charts.Drawing | None:
    """Calls by day and endpoint; None without any."""
    if not calls.points:
        return None
    counted = {(point.start, point.key): point.quantity for point in calls.points}
    axes = charts.Axes(
        title=_("API requests by day and endpoint"),
        description=_("The last 30 days; the last one is still running."),
        buckets=tuple(
            charts.Bucket(
                date_format(day, "M j"), date_format(day, "M j, Y"), is_running=day == calls.days[-1]
            )
            for day in calls.days
        ),
        unit=_("requests"),
        bucket_heading=_("Day"),
    )
    endpoints = sorted({point.key for point in calls.points})
    series = [
        charts.Series(key, tuple(counted.get((day, key), 0) for day in calls.days)) for key in endpoints
    ]
    return charts.bars(axes, series)


# --- First use --------------------------------------------------------------------------------------------------------


def _steps(membership: Membership, *, has_called: bool) -> list[Step]:
    user, organization = membership.user, membership.organization
    confirm = Step(
        title=_("Confirm your e-mail address"),
        text=_("Open the link that we sent to %(email)s. You need this before you can buy a plan.")
        % {"email": user.email},
        action=_("Send it again"),
        href=first_url("verify-email account_email"),
        is_done=people.has_verified_email(user),
    )
    if not roles.allows(membership.role, Scope.KEYS_WRITE):
        return [confirm]
    return [
        confirm,
        Step(
            title=_("Create an API key"),
            text=_("Your programs send it with every call. Give each program its own."),
            action=_("Create key"),
            href=first_url("api-key-new api-keys"),
            is_done=ApiKey.objects.visible_to(organization).exists(),
        ),
        Step(
            title=_("Make the first call"),
            text=_("Call the API with your key. It shows up here within seconds."),
            action=_("Show the call"),
            href=f"{reverse('dashboard')}#first-call",
            is_done=has_called,
        ),
    ]


# --- What is wrong ----------------------------------------------------------------------------------------------------


def _banner(
    usage: quotas.Overview, billing: billing_overview.Dashboard | None, licenses: licensing_overview.Summary
) -> Banner | None:
    """The worst first: money owed, calls refused, a license stopped, an allowance nearly used up."""
    if billing is not None and billing.debt is not None:
        return None  # billing's own banner, on every page, asks for the money
    if stopped := [row for row in licenses.troubled if row.warning in ("payment", "manual")]:
        return Banner(
            tone="danger",
            title=_("%(name)s is suspended") % {"name": stopped[0].license.policy.name},
            text=_("Its control panels are refused."),
            action=_("See why"),
            href=reverse("license", args=[stopped[0].license.pk]),
        )
    return _quota_banner(usage, action=_("Compare plans") if billing is not None else "")


def _quota_banner(usage: quotas.Overview, *, action: str) -> Banner | None:
    for quota in usage.quotas:
        if quota.is_hard and quota.remaining == 0:
            return Banner(
                tone="danger",
                title=_("%(meter)s are used up") % {"meter": quota.meter.name},
                text=_("What is over the limit is refused until %(time)s.")
                % {"time": absolute(quota.resets_at)},
                action=action,
                href=first_url("billing") if action else "",
            )
    for quota in usage.quotas:
        if quota.is_hard and quota.percent is not None and quota.percent >= NEARLY_USED_PERCENT:
            return Banner(
                tone="warning",
                title=_("%(meter)s: %(percent)d%% used")
                % {"meter": quota.meter.name, "percent": quota.percent},
                text=_("%(left)s left until %(time)s; what is over the limit is refused.")
                % {"left": quantity(quota.remaining), "time": absolute(quota.resets_at)},
                action=action,
                href=first_url("billing") if action else "",
            )
    return None


# --- What happened ----------------------------------------------------------------------------------------------------

_ICONS = {"api_key": "key", "license": "shield", "member": "users", "invitation": "mail", "user": "user"}


def _activity(organization: Organization) -> list[Activity]:
    """The newest entries; what was done again and again, such as the steps of a rehearsal, is one line."""
    entries = AuditEntry.objects.visible_to(organization).order_by("-id")[:ACTIVITY_READ]
    runs = groupby(entries, key=lambda entry: (entry.action, entry.target_label, entry.actor_label))
    return [_activity_of(list(run)) for _what, run in islice(runs, ACTIVITY_ROWS)]


def _activity_of(run: list[AuditEntry]) -> Activity:
    newest = run[0]
    return Activity(
        text=action_words(newest.action),
        about=newest.target_label,
        actor=newest.actor_label,
        at=newest.at,
        icon=_ICONS.get(newest.action.split(".")[0], "activity"),
        times=len(run),
    )
