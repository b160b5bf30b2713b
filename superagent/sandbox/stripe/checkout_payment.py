"""Paying a Checkout session: what happens when the hosted page is submitted."""

from dataclasses import dataclass
from typing import Any

from superagent.sandbox.store import store
from superagent.sandbox.stripe import (
    cards,
    checkout,
    customers,
    discounts,
    drafts,
    invoicing,
    lines,
    moment,
    payment_methods,
    payments,
    proration,
    setup_intents,
    subscriptions,
)
from superagent.sandbox.stripe.errors import StripeError
from superagent.sandbox.stripe.events import emit, updating


@dataclass(frozen=True)
class Outcome:
    """How a submission ended: done (go to `location`), or refused with a message for the customer."""

    location: str | None = None
    message: str | None = None
    authenticate: bool = False


class Refused(Exception):
    """The payment failed. With `keeps_changes` the failed payment is stored."""

    def __init__(self, message: str, *, keeps_changes: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.keeps_changes = keeps_changes


class AuthenticationNeeded(Exception):
    """The bank requires authentication first; nothing has happened yet."""


def needs_card(session: dict[str, Any]) -> bool:
    """Returns whether the page asks for a card."""
    return bool(session["amount_total"]) or session["payment_method_collection"] == "always"


def success_location(session: dict[str, Any]) -> str:
    """Returns where the browser goes after payment."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def apply_code(session_id: str, code: str) -> str | None:
    """Apply a promotion code that the customer typed. Returns the error message, or None."""
    with store.transaction():
        session = store.edit(session_id)
        try:
            found = discounts.by_code(
                code, session["customer"], session["amount_subtotal"] or 0, session["currency"]
            )
        except StripeError as error:
            return error.message
        session["discounts"] = [{"coupon": None, "promotion_code": found["id"]}]
        checkout.total(session)
    return None


def remove_code(session_id: str) -> None:
    """Take the promotion code off again."""
    with store.transaction():
        session = store.edit(session_id)
        session["discounts"] = []
        checkout.total(session)


def submit(
    session_id: str, card: cards.Card | None, *, email: str, name: str, authenticated: bool = False
) -> Outcome:
    """Pay the session with a card. All of it happens, or nothing but the record of the refusal."""
    try:
        with store.transaction():
            session = store.edit(session_id)
            method = None
            if card:
                method = payment_methods.new(card, {"email": email, "name": name}, allow_redisplay="limited")
                _ask_bank(method, authenticated=authenticated)
            _customer(session, email, name, method)
            {"payment": _pay, "subscription": _subscribe, "setup": _set_up}[session["mode"]](
                session, method, authenticated
            )
            _complete(session_id, email, name)
    except Refused as refused:
        return Outcome(message=refused.message)
    except AuthenticationNeeded:
        return Outcome(authenticate=True)
    return Outcome(location=success_location(checkout.get(session_id)))


def _ask_bank(method: dict[str, Any], *, authenticated: bool) -> None:
    behavior = cards.behavior(method)
    if behavior.attach:
        raise Refused(cards.DECLINES[behavior.attach][1])
    if behavior.authenticate != "never" and not authenticated:
        raise AuthenticationNeeded


def _customer(session: dict[str, Any], email: str, name: str, method: dict[str, Any] | None) -> None:
    """Create the customer if the session has none and needs one; save the card where it will be used again."""
    if session["customer"] is None:
        wanted = session["mode"] != "payment" or session["customer_creation"] == "always"
        if not wanted:
            return
        session["customer"] = customers.new(email=email, name=name or None)["id"]
    elif session["_customer_update"].get("name") == "auto" and name:
        with updating(session["customer"], "customer.updated") as customer:
            customer["name"] = name
    again = session["mode"] != "payment" or session["_data"].get("setup_future_usage")
    if method and again:
        payment_methods.attach(method["id"], session["customer"])


def _pay(session: dict[str, Any], method: dict[str, Any] | None, authenticated: bool) -> None:
    if not session["amount_total"]:
        session["payment_status"] = "no_payment_required"
        return
    assert method is not None
    data = session["_data"]
    intent = payments.new(
        amount=session["amount_total"],
        currency=session["currency"],
        customer_id=session["customer"],
        description=data.get("description"),
        metadata=data.get("metadata") or {},
        receipt_email=data.get("receipt_email"),
        setup_future_usage=data.get("setup_future_usage"),
    )
    session["payment_intent"] = intent["id"]
    intent = payments.confirm(
        intent["id"], method, off_session=False, authenticated=authenticated, at_checkout=True
    )
    if intent["status"] != "succeeded":
        session["payment_intent"] = None
        raise Refused(intent["last_payment_error"]["message"])
    session["payment_status"] = "paid"
    if data.get("setup_future_usage"):
        store.edit(method["id"])["_set_up"] = True
    if session["invoice_creation"]["enabled"]:
        _receipt(session, intent)


def _receipt(session: dict[str, Any], intent: dict[str, Any]) -> None:
    """Write the invoice of a paid one-time order."""
    customer_id = session["customer"]
    if customer_id is None:
        return
    now = moment.now(customer_id)
    data = session["invoice_creation"]["invoice_data"]
    redeemed = discounts.redeem(
        [{name: value for name, value in item.items() if value} for item in session["discounts"]],
        customer_id=customer_id,
        checkout_session=session["id"],
    )
    invoice = drafts.draft(
        customer_id=customer_id,
        reason="manual",
        currency=session["currency"],
        auto_advance=False,
        data=[
            lines.of_order_item({**line, "_period": {"start": now, "end": now}})
            for line in session["_line_items"]
        ],
        discounts=redeemed,
        description=data["description"],
        footer=data["footer"],
        metadata=data["metadata"],
        amount_due=session["amount_total"],
    )
    invoicing.finalize_paid(invoice["id"], intent)
    session["invoice"] = invoice["id"]


def _subscribe(session: dict[str, Any], method: dict[str, Any] | None, authenticated: bool) -> None:
    data = session["_data"]
    customer_id = session["customer"]
    now = moment.now(customer_id)
    days = data.get("trial_period_days")
    prices = [
        (line["price"], line["quantity"], {"metadata": dict(line["metadata"])})
        for line in session["_line_items"]
        if line["price"]["type"] == "recurring"
    ]
    if method and authenticated:
        store.edit(method["id"])["_set_up"] = True
    given = [{name: value for name, value in item.items() if value} for item in session["discounts"]]
    subscription = subscriptions.new(
        customer_id=customer_id,
        prices=prices,
        discount_params=given,
        trial_end=now + days * moment.DAY if days else data.get("trial_end"),
        anchor=data.get("billing_cycle_anchor"),
        metadata=data.get("metadata") or {},
        description=data.get("description"),
        default_payment_method=method["id"] if method else None,
        **({"trial_settings": data["trial_settings"]} if "trial_settings" in data else {}),
    )
    for line in session["_line_items"]:
        if line["price"]["type"] == "one_time":
            _add_once(line, subscription)
    invoice = subscriptions.start(
        subscription["id"], method, off_session=False, authenticated=authenticated, at_checkout=True
    )
    if invoice["status"] == "open":
        intent = store.get(invoice["_intent"]) or {}
        problem = intent.get("last_payment_error") or {}
        raise Refused(problem.get("message") or cards.GENERIC)
    session["subscription"], session["invoice"] = subscription["id"], invoice["id"]
    session["payment_status"] = (
        "paid" if invoice["amount_paid"] or session["amount_total"] else "no_payment_required"
    )


def _add_once(line: dict[str, Any], subscription: dict[str, Any]) -> None:
    proration.invoice_item(
        customer_id=subscription["customer"],
        amount=line["amount_subtotal"],
        currency=line["currency"],
        quantity=line["quantity"],
        description=line["description"],
        pricing=lines.pricing(line["price"]),
        parent={
            "subscription_details": {"subscription": subscription["id"], "subscription_item": None},
            "type": "subscription_details",
        },
    )


def _set_up(session: dict[str, Any], method: dict[str, Any] | None, authenticated: bool) -> None:
    assert method is not None
    intent = setup_intents.new(
        customer_id=session["customer"], metadata=session["_data"].get("metadata") or {}
    )
    setup_intents.succeed(intent["id"], method)
    session["setup_intent"] = intent["id"]


def _complete(session_id: str, email: str, name: str) -> None:
    session = store.edit(session_id)
    session["status"], session["url"] = "complete", None
    customer = store.get(session["customer"]) or {}
    shown = checkout.details(customer, email)
    assert shown is not None
    session["customer_details"] = shown | {
        "name": name or shown["name"],
        "address": {
            **payment_methods.NO_ADDRESS,
            "country": "US",
        },
    }
    emit("checkout.session.completed", session)
