"""The hosted invoice page, its PDF, the receipt of a charge, and the bank's page for one payment."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from superagent.sandbox.pages import pdf
from superagent.sandbox.pages.forms import SEE_OTHER, over, text
from superagent.sandbox.pages.rendering import page
from superagent.sandbox.store import store
from superagent.sandbox.stripe import cards, invoicing, payment_methods, payments
from superagent.sandbox.stripe.errors import StripeError


def _found(request: Request) -> dict[str, Any] | None:
    invoice = store.find("invoice", request.path_params["invoice"])
    return invoice if invoice and invoice["status"] != "draft" else None


async def show(request: Request) -> Response:
    """GET /i/{account}/{invoice}"""
    invoice = _found(request)
    return _page(invoice) if invoice else over("There is no such invoice.", 404)


def _page(
    invoice: dict[str, Any],
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    intent = store.get(invoice.get("_intent")) or {}
    return page(
        "invoice.html",
        status=status,
        invoice=invoice,
        lines=invoice["lines"]["data"],
        values=values or {},
        errors=errors or {},
        needs_bank=intent.get("status") == "requires_action",
    )


async def act(request: Request) -> Response:
    """POST /i/{account}/{invoice}: pay with a card."""
    invoice = _found(request)
    if invoice is None:
        return over("There is no such invoice.", 404)
    if invoice["status"] not in ("open", "uncollectible"):
        return _page(invoice)
    form = await request.form()
    intent = store.get(invoice.get("_intent")) or {}
    if intent.get("status") == "requires_action":
        return RedirectResponse(f"/c/authenticate/intent/{intent['id']}", SEE_OTHER)
    card, errors = cards.check(text(form, "cardNumber"), text(form, "cardExpiry"), text(form, "cardCvc"))
    name = text(form, "billingName")
    if not name:
        errors["billingName"] = "Enter the name on your card."
    if errors or card is None:
        return _page(invoice, {"billingName": name}, errors, 422)
    try:
        with store.transaction():
            method = payment_methods.new(card, {"name": name, "email": invoice["customer_email"]})
            payment_methods.attach(method["id"], invoice["customer"])
            paid = invoicing.pay(invoice["id"], method, off_session=False)
    except StripeError as error:
        return _page(invoicing.get(invoice["id"]), {"billingName": name}, {"card": error.message}, 402)
    if paid["status"] == "open":
        problem = invoicing.payment_error(paid)
        if problem.code == "invoice_payment_intent_requires_action":
            return RedirectResponse(f"/c/authenticate/intent/{paid['_intent']}", SEE_OTHER)
        return _page(paid, {"billingName": name}, {"card": problem.message}, 402)
    return RedirectResponse(request.url.path, SEE_OTHER)


async def as_pdf(request: Request) -> Response:
    """GET /i/{account}/{invoice}/pdf"""
    invoice = _found(request)
    if invoice is None:
        return over("There is no such invoice.", 404)
    name = f"Invoice-{invoice['number']}.pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(pdf.of_invoice(invoice), media_type="application/pdf", headers=headers)


async def receipt(request: Request) -> Response:
    """GET /receipts/{charge}"""
    charge = store.find("charge", request.path_params["charge"])
    if charge is None or not charge["paid"]:
        return over("There is no such receipt.", 404)
    return page("receipt.html", charge=charge)


def _waiting(request: Request) -> dict[str, Any] | None:
    intent = store.find("payment_intent", request.path_params["intent"])
    return intent if intent and intent["status"] == "requires_action" else None


async def ask(request: Request) -> Response:
    """GET /c/authenticate/intent/{intent}: the bank's page for a payment made through the API."""
    intent = _waiting(request)
    if intent is None:
        return over("There is nothing to confirm.", 404)
    method = payment_methods.get(intent["payment_method"])
    return page(
        "authenticate.html",
        action=request.url.path,
        amount=intent["amount"],
        currency=intent["currency"],
        last4=method["card"]["last4"],
        leads_to=(_return_url(intent),),
    )


def _return_url(intent: dict[str, Any]) -> str | None:
    return ((intent["next_action"] or {}).get("redirect_to_url") or {}).get("return_url")


async def answer(request: Request) -> Response:
    """POST /c/authenticate/intent/{intent}: Complete or Fail."""
    intent = _waiting(request)
    if intent is None:
        return over("There is nothing to confirm.", 404)
    form = await request.form()
    invoice = store.get(intent.get("_invoice"))
    back = _return_url(intent) or (invoice["hosted_invoice_url"] if invoice else None)
    with store.transaction():
        if text(form, "result") != "complete":
            payments.fail_authentication(intent["id"])
        elif invoice and invoice["status"] == "open":
            method = payment_methods.get(intent["payment_method"])
            invoicing.pay(invoice["id"], method, off_session=False, authenticated=True)
        else:
            method = payment_methods.get(intent["payment_method"])
            payments.confirm(intent["id"], method, off_session=False, authenticated=True)
    if back:
        return RedirectResponse(back, SEE_OTHER)
    return over("The bank has your answer.", 200, "You can close this page.")


routes = [
    Route("/i/{account}/{invoice}", show, methods=["GET"]),
    Route("/i/{account}/{invoice}", act, methods=["POST"]),
    Route("/i/{account}/{invoice}/pdf", as_pdf),
    Route("/receipts/{charge}", receipt),
    Route("/c/authenticate/intent/{intent}", ask, methods=["GET"]),
    Route("/c/authenticate/intent/{intent}", answer, methods=["POST"]),
]
