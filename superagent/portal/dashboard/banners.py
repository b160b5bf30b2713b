"""The one problem that matters most, above the page."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from billing.selling import overview as billing_overview
from licensing import overview as licensing_overview
from metering.quotas import quota_status
from superagent.foundation.templatetags.formats import absolute, quantity

NEARLY_USED_PERCENT = 80


@dataclass(frozen=True, slots=True)
class Banner:
    """The one problem that matters most, with what to do about it."""

    tone: str
    title: str
    text: str
    action: str = ""
    href: str = ""


def worst(
    usage: quota_status.Overview,
    billing: billing_overview.Dashboard | None,
    licenses: licensing_overview.Summary,
) -> Banner | None:
    """The worst first: a license stopped, calls refused, an allowance nearly used up. The page shows it unless money is
    owed: billing's own banner, on every page, asks for that."""
    if (stopped := licenses.suspended) is not None:
        return Banner(
            tone="danger",
            title=_("%(name)s is suspended") % {"name": stopped.policy.name},
            text=_("Its control panels are refused."),
            action=_("See why"),
            href=reverse("license", args=[stopped.pk]),
        )
    return _quota_banner(usage, action=_("Compare plans") if billing is not None else "")


def _quota_banner(usage: quota_status.Overview, *, action: str) -> Banner | None:
    for quota in usage.quotas:
        if quota.is_hard and quota.remaining == 0:
            return Banner(
                tone="danger",
                title=_("%(meter)s are used up") % {"meter": quota.meter.name},
                text=_("What is over the limit is refused until %(time)s.")
                % {"time": absolute(quota.resets_at)},
                action=action,
                href=reverse("plans") if action else "",
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
                href=reverse("plans") if action else "",
            )
    return None
