"""The hosted customer portal: subscriptions, card, invoices, without JavaScript."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from superagent.sandbox.pages.forms import SEE_OTHER, over, text
from superagent.sandbox.pages.rendering import page
from superagent.sandbox.store import store
from superagent.sandbox.stripe import (
    cards,
    invoicing,
    payment_methods,
    portal,
    setup_intents,
    subscription_changes,
    subscriptions,
)
from superagent.sandbox.stripe.errors import StripeError
from superagent.sandbox.stripe.events import updating

INVOICES_SHOWN = 24
FEEDBACK = {
    "too_expensive": "It's too expensive",
    "missing_features": "Some features are missing",
    "switched_service": "I found an alternative",
    "unused": "I no longer need it",
    "other": "Other reason",
}


def _session(request: Request) -> tuple[dict[str, Any] | None, Response | None]:
    session = store.find(portal.SESSION, request.path_params["session"])
    if session is None:
        return None, over("There is no such page.", 404)
    if not portal.is_open(session):
        return None, over(
            "This link has expired.", 410, "Open billing in the portal again.", session["return_url"]
        )
    return session, None


async def show(request: Request) -> Response:
    """GET /p/session/{session}"""
    session, problem = _session(request)
    if session is None:
        return problem or over("There is no such page.", 404)
    return _page(session, done=request.query_params.get("done", ""))


def _page(
    session: dict[str, Any],
    *,
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
    done: str = "",
) -> Response:
    customer = store.get(session["customer"]) or {}
    held = [item for item in store.each("subscription") if item["customer"] == customer["id"]]
    default = customer["invoice_settings"]["default_payment_method"]
    owned = next(
        (item["default_payment_method"] for item in reversed(held) if item["ended_at"] is None), None
    )
    invoices = [
        item
        for item in store.each("invoice")
        if item["customer"] == customer["id"] and item["status"] != "draft"
    ]
    return page(
        "portal.html",
        status=status,
        session=session,
        customer=customer,
        done=done,
        subscriptions=[_shown(item) for item in held if item["ended_at"] is None][::-1],
        card=store.get(owned or default),
        invoices=invoices[::-1][:INVOICES_SHOWN],
        features=portal.configuration(session["configuration"])["features"],
        values=values or {},
        errors=errors or {},
        feedback=FEEDBACK,
        flow=session["flow"],
        leads_to=(session["return_url"], _after(session)),
    )


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    first = subscriptions.items(item)[0]
    product = store.get(first["price"]["product"]) or {"name": ""}
    return {**item, "name": product["name"], "first": first, "end": subscriptions.period(item)[1]}


def _after(session: dict[str, Any]) -> str | None:
    flow = session["flow"] or {}
    after = flow.get("after_completion") or {}
    return (
        after["redirect"]["return_url"] if after.get("type") == "redirect" and after.get("redirect") else None
    )


def _back(session: dict[str, Any], done: str) -> Response:
    target = _after(session)
    return RedirectResponse(target or f"/p/session/{session['id']}?done={done}", SEE_OTHER)


async def act(request: Request) -> Response:
    """POST /p/session/{session}: cancel, resume, change the card, pay an invoice."""
    session, problem = _session(request)
    if session is None:
        return problem or over("There is no such page.", 404)
    form = await request.form()
    values = {name: value for name, value in form.items() if isinstance(value, str)}
    act_on = {"cancel": _cancel, "resume": _resume, "card": _change_card, "pay": _pay}.get(
        text(form, "action")
    )
    if act_on is None:
        return _page(session, errors={"page": "That is not possible here."}, status=422)
    try:
        return act_on(session, values)
    except StripeError as error:
        return _page(session, errors={"page": error.message}, status=error.status)


def _own(session: dict[str, Any], subscription_id: str) -> str:
    found = subscriptions.get(subscription_id)
    if found["customer"] != session["customer"]:
        raise StripeError("There is no such subscription.", status=404)
    return subscription_id


def _cancel(session: dict[str, Any], values: dict[str, str]) -> Response:
    feature = portal.configuration(session["configuration"])["features"]["subscription_cancel"]
    if not feature["enabled"]:
        raise StripeError("Canceling is not possible here.", status=403)
    subscription_id = _own(session, values.get("subscription", ""))
    feedback = values.get("feedback") if values.get("feedback") in FEEDBACK else None
    with store.transaction():
        if feature["mode"] == "immediately":
            subscriptions.end(
                subscription_id, reason="cancellation_requested", details={"feedback": feedback}
            )
        else:
            details = {"cancellation_details": {"feedback": feedback}} if feedback else {}
            subscription_changes.change(subscription_id, {"cancel_at_period_end": True, **details})
    return _back(session, "canceled")


def _resume(session: dict[str, Any], values: dict[str, str]) -> Response:
    subscription_id = _own(session, values.get("subscription", ""))
    with store.transaction():
        subscription_changes.change(subscription_id, {"cancel_at_period_end": False})
    return _back(session, "resumed")


def _change_card(session: dict[str, Any], values: dict[str, str]) -> Response:
    if not portal.configuration(session["configuration"])["features"]["payment_method_update"]["enabled"]:
        raise StripeError("Changing the card is not possible here.", status=403)
    card, errors = cards.check(
        values.get("cardNumber", ""), values.get("cardExpiry", ""), values.get("cardCvc", "")
    )
    name = values.get("billingName", "").strip()
    if not name:
        errors["billingName"] = "Enter the name on your card."
    if errors or card is None:
        return _page(session, values={"billingName": name}, errors=errors, status=422)
    customer_id = session["customer"]
    with store.transaction():
        method = payment_methods.new(
            card, {"name": name, "email": (store.get(customer_id) or {}).get("email")}
        )
        intent = setup_intents.new(customer_id=customer_id)
        setup_intents.succeed(intent["id"], method)
        with updating(customer_id, "customer.updated") as customer:
            customer["invoice_settings"]["default_payment_method"] = method["id"]
        for item in list(store.each("subscription")):
            if (
                item["customer"] == customer_id
                and item["ended_at"] is None
                and item["default_payment_method"]
            ):
                with updating(item["id"], "customer.subscription.updated") as changed:
                    changed["default_payment_method"] = method["id"]
    return _back(session, "card")


def _pay(session: dict[str, Any], values: dict[str, str]) -> Response:
    invoice = invoicing.get(values.get("invoice", ""))
    if invoice["customer"] != session["customer"]:
        raise StripeError("There is no such invoice.", status=404)
    with store.transaction():
        invoice = invoicing.pay(invoice["id"], off_session=False)
    if invoice["status"] != "paid":
        raise StripeError(invoicing.payment_error(invoice).message, status=402)
    return _back(session, "paid")


routes = [
    Route("/p/session/{session}", show, methods=["GET"]),
    Route("/p/session/{session}", act, methods=["POST"]),
]
