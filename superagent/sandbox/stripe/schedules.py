"""Subscription schedules: phases that a subscription goes through, each entered where a billing period ends."""

from typing import Any

from stripe.params import (
    SubscriptionScheduleCancelParams,
    SubscriptionScheduleCreateParams,
    SubscriptionScheduleListParams,
    SubscriptionScheduleReleaseParams,
    SubscriptionScheduleRetrieveParams,
    SubscriptionScheduleUpdateParams,
)

from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import catalog, ids, moment, shapes, subscription_api, subscriptions
from superagent.sandbox.stripe.errors import invalid, missing, refuse, unsupported
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.routes import Call, Page, route

KIND = "subscription_schedule"
PATH = "/v1/subscription_schedules"
RUNNING = ("not_started", "active")


def get(schedule_id: str) -> dict[str, Any]:
    """Returns a schedule that exists."""
    schedule = store.find(KIND, schedule_id)
    if schedule is None:
        raise missing("subscription schedule", schedule_id)
    return schedule


@route("POST", PATH, SubscriptionScheduleCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    name = params.get("from_subscription")
    if name is None:
        raise unsupported("phases: a schedule is made from_subscription here")
    if set(params) - {"from_subscription", "expand"}:
        raise invalid(
            "You cannot set other parameters if `from_subscription` is set.", param="from_subscription"
        )
    subscription = subscriptions.get(name, param="from_subscription", status=400)
    if subscription["ended_at"] is not None:
        raise invalid("You cannot migrate a subscription that has ended.", param="from_subscription")
    if subscription["schedule"]:
        message = (
            "You cannot migrate a subscription that is already attached to a schedule: "
            f"{subscription['schedule']}."
        )
        raise invalid(message, param="from_subscription")
    if subscription["cancel_at"] is not None:
        raise unsupported("from_subscription of a subscription that is to be canceled")
    schedule = _new(subscription)
    emit("subscription_schedule.created", schedule)
    with updating(subscription["id"], "customer.subscription.updated") as changed:
        changed["schedule"] = schedule["id"]
    return schedule


def _new(subscription: dict[str, Any]) -> dict[str, Any]:
    start, end = subscriptions.period(subscription)
    phase = _phase(
        start,
        end,
        items=[_item(item["price"], item["quantity"]) for item in subscriptions.items(subscription)],
        currency=subscription["currency"],
        default_payment_method=subscription["default_payment_method"],
        discounts=[_discount({"discount": name}) for name in subscription["discounts"]],
        trial_end=subscription["trial_end"] if subscription["status"] == "trialing" else None,
    )
    return store.add(
        shapes.build(
            KIND,
            id=ids.new("sub_sched"),
            billing_mode=clone(subscription["billing_mode"]),
            created=moment.now(subscription["customer"]),
            current_phase={"start_date": start, "end_date": end},
            customer=subscription["customer"],
            default_settings=_default_settings(subscription),
            end_behavior="release",
            phases=[phase],
            status="active",
            subscription=subscription["id"],
            test_clock=subscription["test_clock"],
        )
    )


def _default_settings(subscription: dict[str, Any]) -> dict[str, Any]:
    return {
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": "automatic",
        "billing_thresholds": None,
        "collection_method": subscription["collection_method"],
        "default_payment_method": subscription["default_payment_method"],
        "description": None,
        "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
        "on_behalf_of": None,
        "transfer_data": None,
    }


def _phase(start: int, end: int, **values: Any) -> dict[str, Any]:
    blank = dict.fromkeys(
        ("application_fee_percent", "automatic_tax", "billing_cycle_anchor", "billing_thresholds", "collection_method",
         "default_payment_method", "description", "invoice_settings", "on_behalf_of", "transfer_data", "trial_end")
    )  # fmt: skip
    lists: dict[str, Any] = {
        "add_invoice_items": [],
        "default_tax_rates": [],
        "discounts": [],
        "metadata": {},
    }
    return {
        **blank,
        **lists,
        "proration_behavior": "create_prorations",
        "start_date": start,
        "end_date": end,
        **values,
    }


def _item(
    price: dict[str, Any], quantity: int | None, metadata: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": metadata or {},
        "plan": price["id"],
        "price": price["id"],
        "quantity": 1 if quantity is None else quantity,
        "tax_rates": [],
    }


def _discount(given: dict[str, Any]) -> dict[str, Any]:
    refuse(given, "coupon", "promotion_code")
    return {"coupon": None, "discount": given["discount"], "promotion_code": None}


@route("GET", PATH, SubscriptionScheduleListParams)
def list_schedules(call: Call) -> Page:
    params = call.params
    found = [
        item
        for item in store.each(KIND)
        if matches(item, params, "customer")
        and all(
            matches_created(item, params, name)
            for name in ("created", "canceled_at", "completed_at", "released_at")
        )
        and (not params.get("scheduled") or item["status"] == "not_started")
    ]
    return Page(found, PATH)


@route("GET", PATH + "/{schedule_id}", SubscriptionScheduleRetrieveParams)
def retrieve(call: Call, schedule_id: str) -> dict[str, Any]:
    return get(schedule_id)


@route("POST", PATH + "/{schedule_id}", SubscriptionScheduleUpdateParams)
def update(call: Call, schedule_id: str) -> dict[str, Any]:
    params = call.params
    schedule = _running(schedule_id, "update")
    refuse(params, "default_settings")
    if params.get("end_behavior") in ("none", "renew"):
        raise unsupported(f"end_behavior={params['end_behavior']}")
    with updating(schedule_id, "subscription_schedule.updated") as changed:
        apply(changed, params, "end_behavior")
        apply_metadata(changed, params)
        if "phases" in params:
            past = [
                phase
                for phase in schedule["phases"]
                if phase["end_date"] <= schedule["current_phase"]["start_date"]
            ]
            changed["phases"] = past + _phases(schedule, params["phases"])
            changed["current_phase"]["end_date"] = changed["phases"][len(past)]["end_date"]
    return changed


def _running(schedule_id: str, deed: str) -> dict[str, Any]:
    schedule = get(schedule_id)
    if schedule["status"] not in RUNNING:
        message = (
            f"You cannot {deed} a subscription schedule that is currently in the `{schedule['status']}` status. "
            "It must be in `not_started` or `active` status."
        )
        raise invalid(message)
    return schedule


def _phases(schedule: dict[str, Any], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    subscription = subscriptions.get(schedule["subscription"])
    started = schedule["current_phase"]["start_date"]
    if given[0].get("start_date") != started:
        message = "You can not modify the start date of the current phase."
        raise invalid(message, param="phases[0][start_date]")
    made: list[dict[str, Any]] = []
    for index, params in enumerate(given):
        start = made[-1]["end_date"] if made else started
        if params.get("start_date", start) != start:
            raise invalid("The phases must follow each other.", param=f"phases[{index}][start_date]")
        made.append(_read_phase(params, index, start, subscription))
    _check_present(made[0], subscription)
    return made


def _read_phase(
    params: dict[str, Any], index: int, start: int, subscription: dict[str, Any]
) -> dict[str, Any]:
    place = f"phases[{index}]"
    refuse(params, "add_invoice_items", "application_fee_percent", "billing_thresholds", "collection_method",
           "default_tax_rates", "invoice_settings", "on_behalf_of", "transfer_data", "trial")  # fmt: skip
    if not params.get("items"):
        raise invalid(
            f"Missing required param: {place}[items].", param=f"{place}[items]", code="parameter_missing"
        )
    items = []
    sold = {item["price"]["id"] for item in subscriptions.items(subscription)}  # it may be off sale since
    for number, item in enumerate(params["items"]):
        refuse(item, "billing_thresholds", "discounts", "plan", "price_data", "tax_rates")
        find = catalog.price if item.get("price") in sold else catalog.usable_price
        price = find(item.get("price"), param=f"{place}[items][{number}][price]")
        items.append(_item(price, item.get("quantity"), item.get("metadata")))
    subscriptions.check_prices([catalog.price(item["price"]) for item in items])
    end = params.get("end_date")
    if (end is None) == ("duration" not in params):
        raise invalid("You must set either `end_date` or `duration` of a phase.", param=f"{place}[end_date]")
    if end is None:
        end = moment.add(start, params["duration"]["interval"], params["duration"].get("interval_count", 1))
    if end <= start:
        raise invalid("A phase must end after it starts.", param=f"{place}[end_date]")
    discounts = params.get("discounts") or []
    return _phase(
        start,
        end,
        items=items,
        currency=subscription["currency"],
        discounts=[_discount(each) for each in discounts],
        **{
            name: params[name]
            for name in (
                "billing_cycle_anchor",
                "default_payment_method",
                "metadata",
                "proration_behavior",
                "trial_end",
            )
            if name in params
        },
    )


def _check_present(phase: dict[str, Any], subscription: dict[str, Any]) -> None:
    """Refuse to change what the current phase is for; its end may move to the end of the period."""
    present = [(item["price"]["id"], item["quantity"]) for item in subscriptions.items(subscription)]
    if [(item["price"], item["quantity"]) for item in phase["items"]] != present:
        raise unsupported("phases[0][items]: another price or quantity than now")
    if phase["end_date"] < subscriptions.period(subscription)[1]:
        raise unsupported("phases[0][end_date]: an end before that of the billing period")
    if subscription["status"] == "trialing" and phase["trial_end"] != subscription["trial_end"]:
        raise unsupported("phases[0][trial_end]: another one than now")


@route("POST", PATH + "/{schedule_id}/release", SubscriptionScheduleReleaseParams)
def release(call: Call, schedule_id: str) -> dict[str, Any]:
    _running(schedule_id, "release")
    _release(schedule_id)
    return store.edit(schedule_id)


@route("POST", PATH + "/{schedule_id}/cancel", SubscriptionScheduleCancelParams)
def cancel(call: Call, schedule_id: str) -> dict[str, Any]:
    schedule = _running(schedule_id, "cancel")
    params = {"invoice_now": True, "prorate": True} | call.params
    subscription_api.end_now(schedule["subscription"], params)
    return store.edit(schedule_id)


def _release(schedule_id: str) -> None:
    """End the schedule; the subscription continues as it is."""
    schedule = store.edit(schedule_id)
    subscription_id = schedule["subscription"]
    schedule.update(
        status="released",
        released_at=moment.now(schedule["customer"]),
        released_subscription=subscription_id,
        subscription=None,
        current_phase=None,
    )
    emit("subscription_schedule.released", schedule)
    with updating(subscription_id, "customer.subscription.updated") as subscription:
        subscription["schedule"] = None


def on_period_end(subscription: dict[str, Any], boundary: int) -> None:
    """Enter the phase that begins where the period ends; after the last one, release or cancel."""
    schedule = store.get(subscription["schedule"])
    if schedule is None or schedule["current_phase"]["end_date"] > boundary:
        return
    following = next(
        (
            phase
            for phase in schedule["phases"]
            if phase["start_date"] == schedule["current_phase"]["end_date"]
        ),
        None,
    )
    if following is not None:
        with updating(schedule["id"], "subscription_schedule.updated") as changed:
            changed["current_phase"] = {
                "start_date": following["start_date"],
                "end_date": following["end_date"],
            }
        _enter(subscription, following, boundary)
    elif schedule["end_behavior"] == "cancel":
        ending = store.edit(schedule["id"])
        ending.update(status="completed", completed_at=boundary, current_phase=None)
        emit("subscription_schedule.completed", ending)
        subscription["schedule"] = None
        subscriptions.end(subscription["id"], reason="cancellation_requested")
    else:
        _release(schedule["id"])


def _enter(subscription: dict[str, Any], phase: dict[str, Any], boundary: int) -> None:
    before = subscriptions.recurring(subscription)
    known = {item["price"]["id"]: item for item in subscriptions.items(subscription)}
    data = []
    for wanted in phase["items"]:
        item = known.get(wanted["price"]) or subscriptions.new_item(
            subscription["id"], catalog.price(wanted["price"]), wanted["quantity"], (boundary, boundary)
        )
        item["quantity"] = wanted["quantity"]
        item["metadata"] = item["metadata"] | wanted["metadata"]
        data.append(item)
    subscription["items"]["data"] = data
    after = subscriptions.recurring(subscription)
    is_other = (before["interval"], before["interval_count"]) != (after["interval"], after["interval_count"])
    if is_other or phase["billing_cycle_anchor"] == "phase_start":
        subscription["billing_cycle_anchor"] = boundary
    kept = {each["discount"] for each in phase["discounts"]}
    subscription["discounts"] = [name for name in subscription["discounts"] if name in kept]
    subscription["default_payment_method"] = phase["default_payment_method"]
    subscription["metadata"] = subscription["metadata"] | phase["metadata"]


def on_end(subscription: dict[str, Any], reason: str | None) -> None:
    """End the schedule of a subscription that ends."""
    if subscription["schedule"] is None:
        return
    schedule = store.edit(subscription["schedule"])
    schedule.update(status="canceled", canceled_at=moment.now(subscription["customer"]), current_phase=None)
    emit(
        "subscription_schedule.aborted" if reason == "payment_failed" else "subscription_schedule.canceled",
        schedule,
    )
    subscription["schedule"] = None


subscriptions.period_hooks.append(on_period_end)
subscriptions.end_hooks.append(on_end)
