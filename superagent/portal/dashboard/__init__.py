"""The dashboard: what metering, billing, licensing and accounts know of an organization, on one page."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from accounts import roles
from accounts.models import Membership, Organization
from accounts.roles import Scope
from billing.selling import overview as billing_overview
from licensing import overview as licensing_overview
from metering.analytics import overview as metering_overview
from metering.models import REQUESTS, RequestRecord
from metering.quotas import quota_status
from superagent.foundation import charts
from superagent.portal.dashboard import activity, banners, calls, first_use, metrics
from superagent.portal.dashboard.activity import Activity
from superagent.portal.dashboard.banners import Banner
from superagent.portal.dashboard.calls import Calls
from superagent.portal.dashboard.first_use import Step
from superagent.portal.dashboard.metrics import Metric


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
    usage: quota_status.Overview
    paces: list[tuple[quota_status.QuotaStatus, str]]
    billing: billing_overview.Dashboard | None
    licenses: licensing_overview.Summary
    live: LiveParts
    stream_url: str


def compose(*, membership: Membership, now: datetime, hidden: Collection[str] = ()) -> Page:
    """What the member of `membership` sees of the organization; `now` is the organization's, `hidden` what is switched
    off in the chart."""
    organization = membership.organization
    usage = quota_status.overview(organization, now)
    licenses = licensing_overview.summary(organization=organization, now=now)
    billing = None
    if roles.allows(membership.role, Scope.BILLING_READ):
        billing = billing_overview.dashboard(organization, usage, now)
    called = calls.of_last_days(organization, calls.clock_of(organization, now), membership.user.zone)
    return Page(
        now=now,
        banner=banners.worst(usage, billing, licenses),
        metrics=metrics.compose(organization, usage, billing, called, now),
        usage=usage,
        paces=[(view, metering_overview.forecast(view, usage.period, now)) for view in usage.quotas],
        billing=billing,
        licenses=licenses,
        live=_live_parts(membership, usage, called, hidden),
        stream_url=reverse("api:usage-stream"),
    )


def compose_live_parts(*, membership: Membership, now: datetime, hidden: Collection[str] = ()) -> LiveParts:
    """What of the page is drawn anew when figures have changed."""
    organization = membership.organization
    called = calls.of_last_days(organization, calls.clock_of(organization, now), membership.user.zone)
    return _live_parts(membership, quota_status.overview(organization, now), called, hidden)


def _live_parts(
    membership: Membership, usage: quota_status.Overview, called: Calls, hidden: Collection[str]
) -> LiveParts:
    organization = membership.organization
    has_called = _has_called(organization, usage)
    return LiveParts(
        steps=first_use.steps(membership, has_called=has_called),
        chart=called.draw(hidden),
        activity=activity.newest(organization),
        has_called=has_called,
    )


def _has_called(organization: Organization, usage: quota_status.Overview) -> bool:
    if any(quota.meter.slug == REQUESTS and quota.used for quota in usage.quotas):
        return True
    return RequestRecord.objects.visible_to(organization).exists()
