"""Payment intents and charges: taking money from a card."""

from typing import Any

from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe import cards, ids, moment, payment_methods, shapes
from superagent.sandbox.stripe.errors import StripeError, invalid, missing
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.render import plain

MINIMUM_CENTS = 50


def get(intent_id: str | None, *, status: int = 404) -> dict[str, Any]:
    """Returns a payment intent that exists."""
    intent = store.find("payment_intent", intent_id)
    if intent is None:
        raise missing("payment_intent", str(intent_id), param="intent", status=status)
    return intent


def new(*, amount: int, currency: str, customer_id: str | None, **values: Any) -> dict[str, Any]:
    """Add a payment intent and emit `payment_intent.created`."""
    intent_id = ids.new("pi")
    intent = store.add(
        shapes.build(
            "payment_intent",
            **(
                {
                    "id": intent_id,
                    "amount": amount,
                    "amount_capturable": 0,
                    "amount_received": 0,
                    "amount_details": {"tip": {}},
                    "capture_method": "automatic_async",
                    "client_secret": ids.client_secret(intent_id),
                    "confirmation_method": "automatic",
                    "created": moment.now(customer_id),
                    "currency": currency,
                    "customer": customer_id,
                    "payment_method_options": {
                        "card": {
                            "installments": None,
                            "mandate_options": None,
                            "network": None,
                            "request_three_d_secure": "automatic",
                        }
                    },
                    "payment_method_types": ["card"],
                    "status": "requires_payment_method",
                }
                | values
            ),
        )
    )
    emit("payment_intent.created", intent)
    return intent


def confirm(
    intent_id: str,
    method: dict[str, Any],
    *,
    off_session: bool,
    authenticated: bool = False,
    at_checkout: bool = False,
) -> dict[str, Any]:
    """Charge the card. The intent ends succeeded, requires_action, or requires_payment_method with its error."""
    intent = store.edit(intent_id)
    intent["payment_method"] = method["id"]
    behavior = cards.behavior(method)
    asks = behavior.authenticate == "always" or (
        behavior.authenticate == "unless_set_up" and not method["_set_up"]
    )
    if asks and not authenticated:
        if off_session:
            _fail(intent, method, "authentication_required")
        else:
            intent["status"] = "requires_action"
            intent["next_action"] = {
                "type": "redirect_to_url",
                "redirect_to_url": {
                    "url": f"{settings.url}/c/authenticate/intent/{intent_id}",
                    "return_url": None,
                },
            }
            emit("payment_intent.requires_action", intent)
        return intent
    if behavior.charge and not (at_checkout and behavior.pays_at_checkout):
        _fail(intent, method, behavior.charge)
        return intent
    if authenticated:
        store.edit(method["id"])["_set_up"] = True
    _succeed(intent, method)
    return intent


def fail_authentication(intent_id: str) -> None:
    """Record that the customer failed authentication."""
    intent = store.edit(intent_id)
    method = payment_methods.get(intent["payment_method"])
    intent["status"], intent["next_action"], intent["payment_method"] = "requires_payment_method", None, None
    intent["last_payment_error"] = {
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
        "message": "The provided PaymentMethod has failed authentication.",
        "payment_method": plain(method),
        "type": "invalid_request_error",
    }
    emit("payment_intent.payment_failed", intent)


def _succeed(intent: dict[str, Any], method: dict[str, Any]) -> None:
    charge = _charge(intent, method, None)
    intent.update(
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        status="succeeded",
        next_action=None,
        last_payment_error=None,
    )
    emit("charge.succeeded", charge)
    emit("payment_intent.succeeded", intent)


def _fail(intent: dict[str, Any], method: dict[str, Any], reason: str) -> None:
    charge = _charge(intent, method, reason)
    code, message = cards.DECLINES[reason]
    intent.update(
        latest_charge=charge["id"],
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error={
            "charge": charge["id"],
            "code": code,
            "decline_code": reason,
            "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            "message": message,
            "payment_method": plain(method),
            "type": "card_error",
        },
    )
    emit("charge.failed", charge)
    emit("payment_intent.payment_failed", intent)


def error_of(intent: dict[str, Any]) -> StripeError:
    """Returns the 402 that answers the request whose charge failed."""
    problem = intent["last_payment_error"]
    return payment_methods.declined(
        problem.get("decline_code", "generic_decline"),
        charge=problem.get("charge"),
        payment_intent=plain(intent),
        payment_method=problem["payment_method"],
    )


CARD_SHOWN = (
    "brand",
    "checks",
    "country",
    "exp_month",
    "exp_year",
    "fingerprint",
    "funding",
    "last4",
    "wallet",
)


def _charge(intent: dict[str, Any], method: dict[str, Any], reason: str | None) -> dict[str, Any]:
    paid = reason is None
    code, message = (None, None) if reason is None else cards.DECLINES[reason]
    charge_id = ids.new("ch")
    amount, currency = intent["amount"], intent["currency"]
    return store.add(
        shapes.build(
            "charge",
            id=charge_id,
            amount=amount,
            amount_captured=amount if paid else 0,
            amount_refunded=0,
            balance_transaction=transaction(charge_id, amount, currency, "charge") if paid else None,
            billing_details=method["billing_details"],
            calculated_statement_descriptor="SUPERAGENT SANDBOX",
            captured=paid,
            created=moment.now(intent["customer"]),
            currency=currency,
            customer=intent["customer"],
            description=intent["description"],
            disputed=False,
            failure_code=code,
            failure_message=message,
            fraud_details={},
            metadata=dict(intent["metadata"]),
            outcome=_outcome(reason),
            paid=paid,
            payment_intent=intent["id"],
            payment_method=method["id"],
            payment_method_details=_card_details(method, amount if paid else None),
            radar_options={},
            receipt_email=intent["receipt_email"],
            receipt_url=f"{settings.url}/receipts/{charge_id}" if paid else None,
            refunded=False,
            status="succeeded" if paid else "failed",
        )
    )


def _outcome(reason: str | None) -> dict[str, Any]:
    paid = reason is None
    return {
        "advice_code": None if paid else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None if paid else "01",
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "Payment complete." if paid else "The bank did not return any further details.",
        "type": "authorized" if paid else "issuer_declined",
    }


def _card_details(method: dict[str, Any], authorized: int | None) -> dict[str, Any]:
    card = {name: method["card"][name] for name in CARD_SHOWN}
    unused = dict.fromkeys(("three_d_secure", "installments", "mandate"))
    return {
        "card": {**card, **unused, "amount_authorized": authorized, "network": card["brand"]},
        "type": "card",
    }


def transaction(source: str, amount: int, currency: str, kind: str) -> str:
    """Keep the movement on our own Stripe balance (2.9 % + 30 on charges) and return its id."""
    fee = round(amount * 0.029) + 30 if kind == "charge" else 0
    now = moment.real()
    details = (
        [
            {
                "amount": fee,
                "application": None,
                "currency": currency,
                "description": "Stripe processing fees",
                "type": "stripe_fee",
            }
        ]
        if fee
        else []
    )
    made = store.add(
        shapes.build(
            "balance_transaction",
            id=ids.new("txn"),
            amount=amount,
            available_on=now + 2 * moment.DAY,
            balance_type="payments",
            created=now,
            currency=currency,
            fee=fee,
            fee_details=details,
            net=amount - fee,
            reporting_category=kind,
            source=source,
            status="pending",
            type=kind,
        )
    )
    return made["id"]


def cancel(intent_id: str, reason: str | None) -> dict[str, Any]:
    """Cancel an intent that has not succeeded; emit `payment_intent.canceled`."""
    found = get(intent_id)
    if found["status"] in ("succeeded", "canceled"):
        message = f"You cannot cancel this PaymentIntent because it has a status of {found['status']}."
        raise invalid(message, code="payment_intent_unexpected_state")
    intent = store.edit(intent_id)
    intent.update(
        status="canceled",
        canceled_at=moment.now(intent["customer"]),
        cancellation_reason=reason,
        next_action=None,
    )
    emit("payment_intent.canceled", intent)
    return intent
