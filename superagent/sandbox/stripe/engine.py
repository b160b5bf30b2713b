"""The billing engine: finds what is due (renewals, trial ends, drafts, retries, expiries) and processes it in order of
time.

One loop serves customers in real time; each test clock runs the same steps while it advances.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe import (
    api,
    checkout,
    deliveries,
    drafts,
    invoicing,
    moment,
    preview,
    subscriptions,
)
from superagent.sandbox.stripe.events import updating

logger = logging.getLogger(__name__)

TRIAL_WARNING_DAYS = 3
ANSWER_SECONDS = 15.0
KEPT_DELIVERIES = 5_000
KEPT_EVENT_DAYS = 30


class Step(NamedTuple):
    """One thing to do at a moment."""

    at: int
    subject: str
    act: Callable[[], object]
    waits_for: str | None = None  # a draft invoice whose event may still be on its way


def due(clock_id: str | None) -> Step | None:
    """Returns the earliest step of a clock's customers (None: of those in real time)."""
    earliest: Step | None = None
    for step in (*_subscription_steps(clock_id), *_invoice_steps(clock_id), *_session_steps(clock_id)):
        if earliest is None or step.at < earliest.at:
            earliest = step
    return earliest


def _subscription_steps(clock_id: str | None) -> Iterator[Step]:
    for item in store.each("subscription"):
        if item["test_clock"] != clock_id or item["ended_at"] is not None or item["status"] == "paused":
            continue
        name = item["id"]
        if item["status"] == "incomplete":
            expires_at = item["created"] + subscriptions.INCOMPLETE_HOURS * moment.HOUR
            yield Step(expires_at, name, partial(subscriptions.expire, name))
            continue
        end = subscriptions.period(item)[1]
        if item["cancel_at"] is not None and item["cancel_at"] <= end:
            yield Step(item["cancel_at"], name, partial(_end, name))
        else:
            yield Step(end, name, partial(subscriptions.renew, name))
        if item["status"] == "trialing" and item.get("_trial_warned") != item["trial_end"]:
            warn_at = max(item["trial_end"] - TRIAL_WARNING_DAYS * moment.DAY, item["trial_start"])
            yield Step(warn_at, name, partial(subscriptions.warn_of_trial_end, name))
        elif item.get("_upcoming") != end and item["cancel_at"] is None:
            start = subscriptions.period(item)[0]
            notice_at = max(end - settings.upcoming_days * moment.DAY, start)
            yield Step(notice_at, name, partial(preview.announce, name))


def _end(subscription_id: str) -> None:
    subscriptions.end(subscription_id, reason="cancellation_requested")


def _invoice_steps(clock_id: str | None) -> Iterator[Step]:
    for item in store.each("invoice"):
        if item["test_clock"] != clock_id or item["status"] not in ("draft", "open"):
            continue
        name = item["id"]
        if (
            item["status"] == "draft"
            and item["auto_advance"]
            and item["automatically_finalizes_at"] is not None
        ):
            yield Step(
                item["automatically_finalizes_at"],
                name,
                partial(_advance_draft, name),
                None if item["webhooks_delivered_at"] else name,
            )
        elif item["status"] == "open" and item["next_payment_attempt"] is not None:
            yield Step(item["next_payment_attempt"], name, partial(_retry, name))


def _advance_draft(invoice_id: str) -> None:
    """Finalize a draft an hour after `invoice.created` was answered, or after three days without an answer."""
    invoice = store.get(invoice_id)
    assert invoice is not None
    last = invoice["created"] + drafts.UNANSWERED_HOURS * moment.HOUR
    if invoice["webhooks_delivered_at"] is None and moment.now(invoice["customer"]) < last:
        with updating(invoice_id, "invoice.updated") as changed:
            drafts.finalize_at(changed, last)
        return
    invoice = invoicing.finalize(invoice_id)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        invoicing.pay(invoice_id, off_session=True)


def _retry(invoice_id: str) -> None:
    invoicing.pay(invoice_id, off_session=True)


def _session_steps(clock_id: str | None) -> Iterator[Step]:
    if clock_id is not None:
        return  # Checkout sessions live in real time
    for item in store.each("checkout.session"):
        if item["status"] == "open":
            yield Step(item["expires_at"], item["id"], partial(checkout.expire, item["id"]))


def unanswered(invoice_id: str) -> bool:
    """Returns whether the first delivery of the draft's `invoice.created` is still under way."""
    found = deliveries.of_event((store.get(invoice_id) or {}).get("_event", ""))
    return any(delivery["state"] == "pending" and not delivery["attempts"] for delivery in found)


def perform(step: Step) -> None:
    """Do one step in one transaction."""
    with store.transaction():
        step.act()


async def run_clock(clock_id: str, target: int, moved: Callable[[int], None]) -> None:
    """Do everything that is due until `target`, calling `moved` with each moment before its step."""
    waited: dict[str, float] = {}
    while (step := due(clock_id)) is not None and step.at <= target:
        if step.waits_for and unanswered(step.waits_for):
            started = waited.setdefault(step.waits_for, time.monotonic())
            if time.monotonic() - started < ANSWER_SECONDS:
                await asyncio.sleep(0.005)
                continue
        moved(step.at)
        perform(step)
        await asyncio.sleep(0)


async def run() -> None:
    """Serve customers in real time until cancelled."""
    rounds = 0
    while True:
        try:
            while (step := due(None)) is not None and step.at <= moment.real():
                if step.waits_for and unanswered(step.waits_for):
                    break
                perform(step)
                await asyncio.sleep(0)
            if rounds % 600 == 0:
                api.forget_old_keys()
                _forget_old_deliveries()
                _forget_old_events()
        except Exception:
            logger.exception("a billing step failed")
        rounds += 1
        await asyncio.sleep(settings.engine_seconds)


def _forget_old_deliveries() -> None:
    settled = [item["id"] for item in store.each("_delivery") if item["state"] != "pending"]
    with store.transaction():
        for name in settled[:-KEPT_DELIVERIES]:
            store.remove(name)


def _forget_old_events() -> None:
    """Delete events after thirty days, as Stripe does, except those with pending deliveries."""
    oldest = time.time() - KEPT_EVENT_DAYS * moment.DAY
    old = [
        item["id"]
        for item in store.each("event")
        if item.get("_at", oldest) < oldest and not item["pending_webhooks"]
    ]
    with store.transaction():
        for name in old:
            store.remove(name)
