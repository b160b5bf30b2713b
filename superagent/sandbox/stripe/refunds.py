"""Refunds of charges, whole or in part."""

from typing import Any

from stripe.params import RefundCreateParams, RefundListParams, RefundRetrieveParams, RefundUpdateParams

from superagent.sandbox.store import store
from superagent.sandbox.stripe import ids, moment, payments, shapes
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply_metadata, matches, matches_created
from superagent.sandbox.stripe.render import included, plain
from superagent.sandbox.stripe.routes import Call, Page, route


def _charge(params: dict[str, Any]) -> dict[str, Any]:
    if "payment_intent" in params:
        intent = payments.get(params["payment_intent"], status=400)
        charge = store.get(intent["latest_charge"])
        if charge is None or not charge["paid"]:
            message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
            raise invalid(message, param="payment_intent")
        return charge
    charge = store.find("charge", params.get("charge"))
    if charge is None:
        if "charge" not in params:
            raise invalid(
                "One of the following params should be provided for this request: payment_intent or charge."
            )
        raise missing("charge", params["charge"], param="charge", status=400)
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} did not succeed, so it cannot be refunded.", param="charge")
    return charge


@route("POST", "/v1/refunds", RefundCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, "refund_application_fee", "reverse_transfer", "origin")
    charge = _charge(params)
    rest = charge["amount_captured"] - charge["amount_refunded"]
    if rest == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = params.get("amount", rest)
    if not 0 < amount <= rest:
        message = (
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({rest})"
            if amount > 0
            else "Invalid positive integer"
        )
        raise invalid(message, param="amount")
    refund_id = ids.new("re")
    refund = store.add(
        shapes.build(
            "refund",
            id=refund_id,
            amount=amount,
            charge=charge["id"],
            created=moment.now(charge["customer"]),
            balance_transaction=payments.transaction(refund_id, -amount, charge["currency"], "refund"),
            currency=charge["currency"],
            metadata=params.get("metadata") or {},
            destination_details={
                "card": {
                    "reference_status": "pending",
                    "reference_type": "acquirer_reference_number",
                    "type": "refund",
                },
                "type": "card",
            },
            payment_intent=charge["payment_intent"],
            reason=params.get("reason"),
            status="succeeded",
        )
    )
    with updating(charge["id"], "charge.refunded") as changed:
        changed["amount_refunded"] += amount
        changed["refunded"] = changed["amount_refunded"] == changed["amount_captured"]
    emit("refund.created", refund)
    emit("charge.refund.updated", refund)
    return refund


def get(refund_id: str) -> dict[str, Any]:
    """Returns a refund that exists."""
    refund = store.find("refund", refund_id)
    if refund is None:
        raise missing("refund", refund_id)
    return refund


@route("GET", "/v1/refunds", RefundListParams)
def list_refunds(call: Call) -> Page:
    found = [
        refund
        for refund in store.each("refund")
        if matches(refund, call.params, "charge", "payment_intent") and matches_created(refund, call.params)
    ]
    return Page(found, "/v1/refunds")


@route("GET", "/v1/refunds/{refund_id}", RefundRetrieveParams)
def retrieve(call: Call, refund_id: str) -> dict[str, Any]:
    return get(refund_id)


@route("POST", "/v1/refunds/{refund_id}", RefundUpdateParams)
def update(call: Call, refund_id: str) -> dict[str, Any]:
    get(refund_id)
    with updating(refund_id, "refund.updated") as refund:
        apply_metadata(refund, call.params)
    return refund


@included("charge", "refunds")
def _refunds(charge: dict[str, Any]) -> dict[str, Any]:
    found = [plain(refund) for refund in store.each("refund") if refund["charge"] == charge["id"]]
    return shapes.listing(found[::-1], f"/v1/charges/{charge['id']}/refunds")
