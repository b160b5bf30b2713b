"""Test clocks: customers whose time is frozen until the clock is advanced."""

import asyncio
import logging
from typing import Any

from stripe.params.test_helpers import (
    TestClockAdvanceParams,
    TestClockCreateParams,
    TestClockDeleteParams,
    TestClockListParams,
    TestClockRetrieveParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import customer_api, customers, engine, ids, moment, shapes, subscriptions
from superagent.sandbox.stripe.errors import invalid, missing
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.routes import Call, Page, route

logger = logging.getLogger(__name__)

KIND = "test_helpers.test_clock"
PATH = "/v1/test_helpers/test_clocks"
KEPT_DAYS = 30

_running: set[asyncio.Task[None]] = set()


def get(clock_id: str) -> dict[str, Any]:
    """Returns a test clock that exists."""
    clock = store.find(KIND, clock_id)
    if clock is None:
        raise missing("test clock", clock_id)
    return clock


@route("POST", PATH, TestClockCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    now = moment.real()
    clock = store.add(
        shapes.build(
            KIND,
            id=ids.new("clock"),
            created=now,
            deletes_after=now + KEPT_DAYS * moment.DAY,
            name=params.get("name"),
            frozen_time=params["frozen_time"],
            status="ready",
            status_details={},
            _now=params["frozen_time"],
        )
    )
    if "customer" in params:
        _attach(params["customer"], clock)
    emit("test_helpers.test_clock.created", clock)
    return clock


def _attach(customer_id: str, clock: dict[str, Any]) -> None:
    customer = customers.get(customer_id)
    if customer["test_clock"]:
        raise invalid(f"The customer is already attached to {customer['test_clock']}.", param="customer")
    held = [item for item in store.each("subscription") if item["customer"] == customer_id]
    if any(item["created"] > clock["frozen_time"] for item in held):
        raise invalid("frozen_time must not lie before the customer's subscriptions.", param="frozen_time")
    with updating(customer_id, "customer.updated") as changed:
        changed["test_clock"] = clock["id"]
    for kind in ("subscription", "subscription_schedule", "invoice", "invoiceitem"):
        for item in list(store.each(kind)):
            if item["customer"] == customer_id:
                store.edit(item["id"])["test_clock"] = clock["id"]


@route("GET", PATH, TestClockListParams)
def list_clocks(call: Call) -> Page:
    return Page(list(store.each(KIND)), PATH)


@route("GET", PATH + "/{clock_id}", TestClockRetrieveParams)
def retrieve(call: Call, clock_id: str) -> dict[str, Any]:
    return get(clock_id)


@route("POST", PATH + "/{clock_id}/advance", TestClockAdvanceParams)
def advance(call: Call, clock_id: str) -> dict[str, Any]:
    target = call.params["frozen_time"]
    clock = get(clock_id)
    if clock["status"] != "ready":
        raise invalid(
            "Test clock advancement underway - cannot perform modifications.", code="test_clock_advancing"
        )
    if target <= clock["frozen_time"]:
        raise invalid("frozen_time must be after the test clock's current frozen time.", param="frozen_time")
    limit = _limit(clock)
    if target > limit:
        message = (
            "You can only advance the clock by up to two intervals of the shortest subscription: "
            f"at most to {limit}."
        )
        raise invalid(message, param="frozen_time", code="test_clock_advance_too_far")
    clock = store.edit(clock_id)
    clock["status"] = "advancing"
    clock["status_details"] = {"advancing": {"target_frozen_time": target}}
    emit("test_helpers.test_clock.advancing", clock)
    _start(clock_id, target)
    return clock


def _limit(clock: dict[str, Any]) -> int:
    ends = [moment.add(clock["frozen_time"], "year", 2)]
    for item in store.each("subscription"):
        if item["test_clock"] == clock["id"] and item["ended_at"] is None:
            cycle = subscriptions.recurring(item)
            end = moment.add(clock["frozen_time"], cycle["interval"], 2 * cycle["interval_count"])
            # The rest of a short month must not make two whole periods too far.
            ends.append(
                max(
                    end,
                    moment.following(
                        item["billing_cycle_anchor"],
                        cycle,
                        moment.following(item["billing_cycle_anchor"], cycle, clock["frozen_time"]),
                    ),
                )
            )
    return min(ends)


def _start(clock_id: str, target: int) -> None:
    task = asyncio.get_running_loop().create_task(_run(clock_id, target))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _run(clock_id: str, target: int) -> None:
    def moved(now: int) -> None:
        with store.transaction():
            clock = store.edit(clock_id)
            clock["_now"] = max(clock["_now"], now)

    try:
        await engine.run_clock(clock_id, target, moved)
    except Exception:
        logger.exception("test clock %s failed", clock_id)
        status, event = "internal_failure", "test_helpers.test_clock.internal_failure"
    else:
        status, event = "ready", "test_helpers.test_clock.ready"
    with store.transaction():
        if store.get(clock_id) is None:
            return
        clock = store.edit(clock_id)
        if status == "ready":
            clock["_now"] = clock["frozen_time"] = target
        clock["status"], clock["status_details"] = status, {}
        emit(event, clock)


def resume_all() -> None:
    """Continue clocks that were advancing when the process stopped."""
    for clock in store.each(KIND):
        if clock["status"] == "advancing":
            _start(clock["id"], clock["status_details"]["advancing"]["target_frozen_time"])


@route("DELETE", PATH + "/{clock_id}", TestClockDeleteParams)
def delete(call: Call, clock_id: str) -> dict[str, Any]:
    clock = get(clock_id)
    for customer in list(store.each("customer")):
        if customer["test_clock"] == clock_id and not customer.get("deleted"):
            customer_api.remove(customer["id"])
    emit("test_helpers.test_clock.deleted", clock)
    store.remove(clock_id)
    return {"id": clock_id, "object": KIND, "deleted": True}
