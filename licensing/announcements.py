"""Records what happened to a license in the audit trail and mails the organization, in the same transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from accounts import audit, billing_mail, mail_links
from accounts.models import User
from billing.catalog import pricing
from licensing.models import License
from superagent.foundation.templatetags.formats import absolute

TEMPLATE = "licensing/email/license"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A mail's heading, which is also its subject, and its paragraphs."""

    heading: str
    paragraphs: tuple[str, ...]


def announce(
    *, license_: License, action: str, actor: User | None = None, detail: dict[str, Any] | None = None
) -> None:
    """Record `action` (such as `license.suspended`) and mail the organization, if a mail exists for the action.

    `detail` is stored with the audit entry and available to the mail. Without `actor`, it is whoever makes the request.
    """
    detail = detail or {}
    entry = audit.record(
        action=action, organization=license_.organization, actor=actor, target=license_, detail=detail
    )
    write = _WRITERS.get(action)
    if write is None:
        return
    text = write(license_, detail)
    billing_mail.announce(
        organization=license_.organization,
        template=TEMPLATE,
        context={
            "heading": text.heading,
            "paragraphs": list(text.paragraphs),
            "license": license_.policy.name,
            "key": license_.masked_key,
            "url": mail_links.page("license", license_.pk, organization=license_.organization),
            "support": settings.SUPPORT_EMAIL,
        },
        dedupe_key=f"{action}:{entry.pk}",
    )


def _issued(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("Your %(license)s license is ready") % _names(license_),
        (_("Open the license to see its key, then enter the key in your control panel."),),
    )


def _suspended(license_: License, detail: dict[str, Any]) -> Announcement:
    heading = _("Your %(license)s license is suspended") % _names(license_)
    refused = _("Control panels that use it no longer work with this license.")
    if license_.is_held_by_staff:
        return Announcement(
            heading,
            (
                refused,
                _("Reason: %(reason)s") % {"reason": license_.note},
                _("You are not charged while it is suspended. To lift the suspension, write to %(support)s.")
                % {"support": settings.SUPPORT_EMAIL},
            ),
        )
    return Announcement(
        heading,
        (
            refused,
            _("A payment is overdue. Pay the open invoice, and the license works again immediately."),
        ),
    )


def _reinstated(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("Your %(license)s license works again") % _names(license_),
        (
            _("Control panels can use it again. You do not need to do anything."),
            *((_("Reason: %(reason)s") % detail,) if detail.get("reason") else ()),
        ),
    )


def _revoked(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("Your %(license)s license was revoked") % _names(license_),
        (
            _("Control panels can no longer use it. A revoked license cannot be restored."),
            _("Reason: %(reason)s") % {"reason": license_.note},
            _(
                "Its subscription has ended, and you will not be charged again. Questions? Write to %(support)s."
            )
            % {"support": settings.SUPPORT_EMAIL},
        ),
    )


def _expired(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("Your %(license)s license has ended") % _names(license_),
        (
            _("Control panels that use it no longer work with this license."),
            _("To continue, buy a new license. The data in your control panels is not affected."),
        ),
    )


def _ending(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("Your %(license)s license will end") % _names(license_),
        (
            _("It works until %(end)s. You will not be charged again.") % {"end": _date(license_.expires_at)},
            _("Changed your mind? Resume it on the license page before then. %(renewal)s")
            % {"renewal": _renewal(license_, license_.expires_at)},
        ),
    )


def _continued(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("Your %(license)s license continues") % _names(license_),
        (_renewal(license_, license_.renews_at),),
    )


def _change_planned(license_: License, detail: dict[str, Any]) -> Announcement:
    at = datetime.fromisoformat(detail["at"]) if detail["at"] else None
    facts = {"name": detail["name"], "day": _date(at), "amount": detail["price"]}
    return Announcement(
        _("Your %(license)s license becomes %(name)s") % (_names(license_) | facts),
        (
            _("%(name)s starts on %(day)s and costs %(amount)s from then on. Until then, nothing changes.")
            % facts,
            _("Changed your mind? Cancel the change on the license page before then."),
        ),
    )


def _change_taken_back(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("Your license stays %(license)s") % _names(license_),
        (_("The scheduled change was canceled."), _renewal(license_, license_.renews_at)),
    )


def _policy_changed(license_: License, detail: dict[str, Any]) -> Announcement:
    features = ", ".join(
        f"{feature.name}: {_('unlimited') if feature.limit is None else feature.limit}"
        for feature in license_.policy.features.all()
    )
    return Announcement(
        _("Your license is now %(license)s") % _names(license_),
        (
            _("It now includes: %(features)s.") % {"features": features},
            _("Your license key and current usage stay the same."),
        ),
    )


def _key_rotated(license_: License, detail: dict[str, Any]) -> Announcement:
    return Announcement(
        _("The key of your %(license)s license was replaced") % _names(license_),
        (
            _("Enter the new key in your control panels. You can find it on the license page."),
            _("If nobody in your organization did this, write to %(support)s right away.")
            % {"support": settings.SUPPORT_EMAIL},
        ),
    )


def _names(license_: License) -> dict[str, str]:
    return {"license": license_.policy.name}


def _renewal(license_: License, at: datetime | None) -> str:
    """Says when it renews and at what price; empty without a subscription."""
    subscription = license_.order_item.subscription if license_.order_item is not None else None
    if subscription is None:
        return ""
    facts = {"day": _date(at), "amount": pricing.per_period(subscription.price)}
    return _("It then renews on %(day)s for %(amount)s.") % facts


def _date(moment: datetime | None) -> str:
    return absolute(moment) if moment else _("no date")


_WRITERS: dict[str, Callable[[License, dict[str, Any]], Announcement]] = {
    "license.issued": _issued,
    "license.suspended": _suspended,
    "license.reinstated": _reinstated,
    "license.revoked": _revoked,
    "license.expired": _expired,
    "license.ending": _ending,
    "license.continued": _continued,
    "license.policy_changed": _policy_changed,
    "license.change_planned": _change_planned,
    "license.change_taken_back": _change_taken_back,
    "license.key_rotated": _key_rotated,
}
