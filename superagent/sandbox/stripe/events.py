"""Events: a snapshot of what changed, and a delivery for every webhook endpoint that wants it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from stripe.params import EventListParams, EventRetrieveParams

from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import API_VERSION, ids, moment, shapes
from superagent.sandbox.stripe.errors import missing
from superagent.sandbox.stripe.paging import matches_created
from superagent.sandbox.stripe.render import plain
from superagent.sandbox.stripe.routes import Call, Page, route

# The request that causes the events, None for the engine's own.
current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)


def emit(event_type: str, obj: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Record an event about `obj`. With `before`, say what changed; without a change there is no event."""
    snapshot = plain(obj)
    data: dict[str, Any] = {"object": snapshot}
    if before is not None:
        previous = difference(plain(before), snapshot)
        if not previous:
            return None
        data["previous_attributes"] = previous
    call = current_call.get()
    event = store.add(
        shapes.build(
            "event",
            id=ids.new("evt"),
            api_version=API_VERSION,
            created=_created(obj),
            data=data,
            pending_webhooks=0,
            request={
                "id": call.request_id if call else None,
                "idempotency_key": call.idempotency_key if call else None,
            },
            type=event_type,
            _at=moment.real(),
        )
    )
    wanting = [endpoint for endpoint in store.each("webhook_endpoint") if _wants(endpoint, event_type)]
    event["_deliveries"] = [ids.new("dlv") for _ in wanting]
    for endpoint, delivery_id in zip(wanting, event["_deliveries"], strict=True):
        store.add(
            {
                "id": delivery_id,
                "object": "_delivery",
                "event": event["id"],
                "type": event_type,
                "endpoint": endpoint["id"],
                "state": "pending",
                "due_at": 0.0,
                "attempts": [],
            }
        )
    event["pending_webhooks"] = len(wanting)
    return event


@contextmanager
def updating(object_id: str, event_type: str) -> Iterator[dict[str, Any]]:
    """Edit an object and emit `event_type` with its previous attributes if it changed."""
    obj = store.edit(object_id)
    before = clone(obj)
    yield obj
    emit(event_type, obj, before)


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Returns the former values of what changed: nested for dicts, whole for lists."""
    previous: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            previous[key] = difference(old, new)
        else:
            previous[key] = old
    return previous


def _created(obj: dict[str, Any]) -> int:
    if obj["object"] == "test_helpers.test_clock":
        return moment.real()
    if obj["object"] == "customer":
        return moment.of_clock(obj.get("test_clock"))
    return moment.now(obj.get("customer"))


def _wants(endpoint: dict[str, Any], event_type: str) -> bool:
    wanted = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in wanted or event_type in wanted)


@route("GET", "/v1/events", EventListParams)
def list_events(call: Call) -> Page:
    params = call.params
    types = set(params.get("types", []))
    if "type" in params:
        types.add(params["type"])
    prefixes = tuple(name[:-1] for name in types if name.endswith("*"))

    def wanted(event: dict[str, Any]) -> bool:
        name = event["type"]
        fits = not types or name in types or (bool(prefixes) and name.startswith(prefixes))
        if "delivery_success" in params and (event["pending_webhooks"] == 0) != params["delivery_success"]:
            return False
        return fits and matches_created(event, params)

    return Page([event for event in store.each("event") if wanted(event)], "/v1/events")


@route("GET", "/v1/events/{event_id}", EventRetrieveParams)
def retrieve_event(call: Call, event_id: str) -> dict[str, Any]:
    event = store.find("event", event_id)
    if event is None:
        raise missing("event", event_id)
    return event
