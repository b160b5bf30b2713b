"""One label and one tone for every status; color is never the only sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True, slots=True)
class Look:
    word: StrOrPromise
    tone: str
    is_open: bool = False  # a ring in the place of the dot: not running (any more)


_LOOKS: dict[str, Look] = {
    "active": Look(_("Active"), "success"),
    "valid": Look(_("Active"), "success"),
    "paid": Look(_("Paid"), "success"),
    "succeeded": Look(_("Succeeded"), "success"),
    "delivered": Look(_("Delivered"), "success"),
    "verified": Look(_("Confirmed"), "success"),
    "fulfilled": Look(_("Fulfilled"), "success"),
    "completed": Look(_("Completed"), "success"),
    "trial": Look(_("Trial"), "info"),
    "trialing": Look(_("Trial"), "info"),
    "open": Look(_("Open"), "info"),
    "pending": Look(_("Pending"), "info", is_open=True),
    "incomplete": Look(_("Pending"), "info", is_open=True),
    "processing": Look(_("Processing"), "info"),
    "running": Look(_("Running"), "info"),
    "past_due": Look(_("Past due"), "danger"),
    "unpaid": Look(_("Past due"), "danger"),
    "failed": Look(_("Failed"), "danger"),
    "uncollectible": Look(_("Uncollectible"), "danger"),
    "disputed": Look(_("Disputed"), "danger"),
    "revoked": Look(_("Revoked"), "danger", is_open=True),
    "suspended": Look(_("Suspended"), "warning"),
    "paused": Look(_("Paused"), "warning", is_open=True),
    "canceling": Look(_("Canceling"), "warning", is_open=True),
    "unverified": Look(_("Not confirmed"), "warning", is_open=True),
    "expiring": Look(_("Expiring"), "warning"),
    "unused": Look(_("Unused"), "warning", is_open=True),
    "canceled": Look(_("Canceled"), "neutral", is_open=True),
    "incomplete_expired": Look(_("Expired"), "neutral", is_open=True),
    "expired": Look(_("Expired"), "neutral", is_open=True),
    "refunded": Look(_("Refunded"), "neutral"),
    "void": Look(_("Void"), "neutral", is_open=True),
    "draft": Look(_("Draft"), "neutral", is_open=True),
    "ignored": Look(_("Ignored"), "neutral", is_open=True),
}


def look(status: str, tone: str = "", word: str = "") -> Look:
    """Returns the look of `status`; an unknown one is shown in words. HTTP codes get the tone of their class."""
    known = _LOOKS.get(status.lower())
    if tone:
        return Look(word or (status if known is None else known.word), tone)
    if known is not None:
        return Look(word or known.word, known.tone, known.is_open)
    if status.isdigit() and len(status) == 3:
        tones = {"2": "success", "3": "info", "4": "warning", "5": "danger"}
        return Look(word or status, tones.get(status[0], "neutral"))
    return Look(word or status.replace("_", " ").capitalize(), "neutral")
