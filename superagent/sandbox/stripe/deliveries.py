"""Webhook deliveries: signed, sent from the durable outbox, retried with backoff, logged per endpoint."""

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx

from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe.faults import faults

logger = logging.getLogger(__name__)

CONCURRENT = 4
SHUFFLE_SECONDS = 0.15
BODY_SHOWN = 500

chance = secrets.SystemRandom()

# Called inside a transaction with the event that every endpoint has now answered.
delivered_hooks: list[Callable[[dict[str, Any]], None]] = []


def signature(payload: bytes, secret: str, timestamp: int) -> str:
    """Returns the Stripe-Signature header of a payload."""
    signed = f"{timestamp}.".encode() + payload
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Sender:
    """Sends pending deliveries. One per process."""

    def __init__(self) -> None:
        self._waiting: dict[str, float] = {}
        self._sending: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def notice(self, changed: list[dict[str, Any]]) -> None:
        """Take up deliveries that a commit made pending."""
        for obj in changed:
            if obj["object"] == "_delivery" and obj["state"] == "pending":
                self._waiting[obj["id"]] = obj["due_at"]
                self._wake.set()

    def nudge(self) -> None:
        """Look for due deliveries again, because a fault was switched on or off."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        self.notice(list(store.each("_delivery")))
        limits = httpx.Limits(max_connections=50)
        timeout = settings.webhook_timeout_seconds
        async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False) as self._client:
            while True:
                self._wake.clear()
                pause = self._start_due()
                try:
                    await asyncio.wait_for(self._wake.wait(), pause)
                except TimeoutError:
                    continue

    def _start_due(self) -> float | None:
        """Start what may be sent now. Returns the seconds until the next one is due."""
        if faults.webhooks.pause:
            return None
        now = time.time()
        due = [name for name, due_at in self._waiting.items() if due_at <= now]
        if faults.webhooks.shuffle:
            chance.shuffle(due)
        for name in due:
            delivery = store.get(name)
            if delivery is None or delivery["state"] != "pending":
                del self._waiting[name]
                continue
            if self._sending.get(delivery["endpoint"], 0) >= CONCURRENT:
                continue
            del self._waiting[name]
            self._sending[delivery["endpoint"]] = self._sending.get(delivery["endpoint"], 0) + 1
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        later = [due_at for due_at in self._waiting.values() if due_at > now]
        return max(0.01, min(later) - now) if later else None

    async def _deliver(self, delivery: dict[str, Any]) -> None:
        try:
            if faults.webhooks.shuffle:
                await asyncio.sleep(chance.random() * SHUFFLE_SECONDS)
            for _ in range(faults.webhooks.duplicate):
                await self._post(delivery)
            attempt = await self._post(delivery)
            self._record(delivery["id"], attempt)
        except Exception:
            logger.exception("delivery %s failed", delivery["id"])
        finally:
            self._sending[delivery["endpoint"]] -= 1
            self._wake.set()

    async def _post(self, delivery: dict[str, Any]) -> dict[str, Any]:
        event, endpoint = store.get(delivery["event"]), store.get(delivery["endpoint"])
        started = time.time()
        attempt: dict[str, Any] = {"at": started, "status": None, "error": None, "body": ""}
        if event is None or endpoint is None or self._client is None:
            return attempt | {"error": "the endpoint or the event was deleted", "gone": True}
        shown = {**event, "api_version": endpoint["api_version"] or event["api_version"]}
        payload = json.dumps(shown, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(payload, endpoint["_secret"], int(started)),
        }
        try:
            response = await self._client.post(endpoint["url"], content=payload, headers=headers)
            attempt |= {"status": response.status_code, "body": response.text[:BODY_SHOWN]}
        except httpx.HTTPError as error:
            attempt["error"] = f"{type(error).__name__}: {error}"
        attempt["duration_ms"] = round((time.time() - started) * 1000, 1)
        return attempt

    def _record(self, delivery_id: str, attempt: dict[str, Any]) -> None:
        with store.transaction():
            if store.get(delivery_id) is None:
                return
            delivery = store.edit(delivery_id)
            delivery["attempts"] = [*delivery["attempts"], attempt]
            if attempt["status"] is not None and 200 <= attempt["status"] < 300:
                delivery["state"] = "delivered"
                self._settle(delivery)
            elif attempt.get("gone") or len(delivery["attempts"]) >= settings.webhook_attempts:
                delivery["state"] = "failed"
            else:
                pause = settings.webhook_retry_seconds * 2 ** (len(delivery["attempts"]) - 1)
                delivery["due_at"] = time.time() + min(pause, settings.webhook_retry_limit_seconds)

    def _settle(self, delivery: dict[str, Any]) -> None:
        event = store.edit(delivery["event"])
        event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
        if event["pending_webhooks"] == 0:
            for hook in delivered_hooks:
                hook(event)


sender = Sender()


def of_event(event_id: str) -> list[dict[str, Any]]:
    """Returns the deliveries of an event, oldest first."""
    event = store.get(event_id)
    found = [store.get(delivery_id) for delivery_id in (event or {}).get("_deliveries", [])]
    return [delivery for delivery in found if delivery]


def redeliver(event_id: str) -> int:
    """Send an event once more to every endpoint that had it. Returns the number of deliveries."""
    count = 0
    with store.transaction():
        for delivery in of_event(event_id):
            again = store.edit(delivery["id"])
            if again["state"] == "delivered":
                store.edit(event_id)["pending_webhooks"] += 1
            again["state"], again["due_at"] = "pending", 0.0
            count += 1
    return count


def log(endpoint: str | None, event: str | None, limit: int) -> list[dict[str, Any]]:
    """Returns the latest deliveries, newest first, each with its attempts."""
    fitting = [
        delivery
        for delivery in store.each("_delivery")
        if endpoint in (None, delivery["endpoint"]) and event in (None, delivery["event"], delivery["type"])
    ]
    return [
        {key: value for key, value in delivery.items() if key != "object"}
        for delivery in fitting[: -limit - 1 : -1]
    ]
