"""What happened to a license is told twice, in the transaction that makes it true: an audit entry, and a mail."""

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
class Words:
    """A mail's heading, which is its subject too, and its paragraphs."""

    heading: str
    paragraphs: tuple[str, ...]


def announce(
    *, license_: License, action: str, actor: User | None = None, detail: dict[str, Any] | None = None
) -> None:
    """Record `action` (`license.suspended`) and mail the organization about it, if there are words for it.

    `detail` is kept with the entry and given to the words; without `actor` it is whoever makes the request.
    """
    detail = detail or {}
    entry = audit.record(
        action=action, organization=license_.organization, actor=actor, target=license_, detail=detail
    )
    words_of = _WORDS.get(action)
    if words_of is None:
        return
    words = words_of(license_, detail)
    billing_mail.announce(
        organization=license_.organization,
        template=TEMPLATE,
        context={
            "heading": words.heading,
            "paragraphs": list(words.paragraphs),
            "license": license_.policy.name,
            "key": license_.masked_key,
            "url": mail_links.page("license", license_.pk, organization=license_.organization),
            "support": settings.SUPPORT_EMAIL,
        },
        dedupe_key=f"{action}:{entry.pk}",
    )


def _issued(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("Your %(license)s license is ready") % _names(license_),
        (_("Open the license to see its key, and enter the key in your control panel."),),
    )


def _suspended(license_: License, detail: dict[str, Any]) -> Words:
    heading = _("Your %(license)s license is suspended") % _names(license_)
    refused = _("Control panels that use it are refused.")
    if license_.is_held_by_staff:
        return Words(
            heading,
            (
                refused,
                _("The reason: %(reason)s") % {"reason": license_.note},
                _("You are not charged while it is suspended. Write to %(support)s to have it lifted.")
                % {"support": settings.SUPPORT_EMAIL},
            ),
        )
    return Words(
        heading,
        (
            refused,
            _("A payment is overdue. The license works again by itself as soon as the open invoice is paid."),
        ),
    )


def _reinstated(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("Your %(license)s license works again") % _names(license_),
        (
            _("Control panels that use it are accepted again. You do not have to do anything."),
            *((_("The reason: %(reason)s") % detail,) if detail.get("reason") else ()),
        ),
    )


def _revoked(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("Your %(license)s license was revoked") % _names(license_),
        (
            _("Control panels that use it are refused, for good."),
            _("The reason: %(reason)s") % {"reason": license_.note},
            _("Its subscription has ended, and you are not charged again. Questions? Write to %(support)s.")
            % {"support": settings.SUPPORT_EMAIL},
        ),
    )


def _expired(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("Your %(license)s license has ended") % _names(license_),
        (
            _("Control panels that use it are refused."),
            _("To go on, buy it again; what your panels store is not touched."),
        ),
    )


def _ending(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("Your %(license)s license will end") % _names(license_),
        (
            _("It works until %(end)s and is not charged again.") % {"end": _date(license_.expires_at)},
            _("Changed your mind? Resume it on the page of the license before then. %(renewal)s")
            % {"renewal": _renewal(license_, license_.expires_at)},
        ),
    )


def _continued(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("Your %(license)s license continues") % _names(license_),
        (_renewal(license_, license_.renews_at),),
    )


def _change_planned(license_: License, detail: dict[str, Any]) -> Words:
    at = datetime.fromisoformat(detail["at"]) if detail["at"] else None
    facts = {"name": detail["name"], "day": _date(at), "amount": detail["price"]}
    return Words(
        _("Your %(license)s license becomes %(name)s") % (_names(license_) | facts),
        (
            _("%(name)s begins on %(day)s and costs %(amount)s from then on. Until then nothing changes.")
            % facts,
            _("Changed your mind? Take it back on the page of the license before then."),
        ),
    )


def _change_taken_back(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("Your license stays %(license)s") % _names(license_),
        (_("The change that was coming is taken back."), _renewal(license_, license_.renews_at)),
    )


def _policy_changed(license_: License, detail: dict[str, Any]) -> Words:
    features = ", ".join(
        f"{feature.name}: {_('unlimited') if feature.limit is None else feature.limit}"
        for feature in license_.policy.features.all()
    )
    return Words(
        _("Your license is %(license)s now") % _names(license_),
        (
            _("It includes, from now on: %(features)s.") % {"features": features},
            _("The key stays the same, and so does what is in use."),
        ),
    )


def _key_rotated(license_: License, detail: dict[str, Any]) -> Words:
    return Words(
        _("The key of your %(license)s license was replaced") % _names(license_),
        (
            _("Enter the new key in your control panels; you find it on the page of the license."),
            _("If nobody in your organization did this, write to %(support)s at once.")
            % {"support": settings.SUPPORT_EMAIL},
        ),
    )


def _names(license_: License) -> dict[str, str]:
    return {"license": license_.policy.name}


def _renewal(license_: License, at: datetime | None) -> str:
    """When it renews and what that costs, as long as no change is coming."""
    subscription = license_.order_item.subscription if license_.order_item is not None else None
    if subscription is None:
        return ""
    facts = {"day": _date(at), "amount": pricing.per_period(subscription.price)}
    return _("It then renews on %(day)s for %(amount)s.") % facts


def _date(moment: datetime | None) -> str:
    return absolute(moment) if moment else _("no date")


_WORDS: dict[str, Callable[[License, dict[str, Any]], Words]] = {
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
