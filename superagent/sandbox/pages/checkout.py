"""The hosted Checkout page. It works without JavaScript; each step is a form."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from superagent.sandbox.pages.forms import SEE_OTHER, over, text
from superagent.sandbox.pages.rendering import page
from superagent.sandbox.store import store
from superagent.sandbox.stripe import cards, checkout, checkout_payment


async def show(request: Request) -> Response:
    """GET /c/pay/{session}"""
    session = store.find(checkout.KIND, request.path_params["session"])
    if session is None:
        return over("There is no such payment page.", 404)
    return _page(session)


def _closed(session: dict[str, Any]) -> Response | None:
    if session["status"] == "complete":
        return over(
            "You have already paid.",
            200,
            "Nothing is charged twice.",
            checkout_payment.success_location(session),
        )
    if session["status"] == "expired":
        return over(
            "This payment page has expired.",
            410,
            "Go back to the shop and start again.",
            session["cancel_url"],
        )
    return None


def _page(
    session: dict[str, Any],
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    closed = _closed(session)
    if closed:
        return closed
    recurring = [line for line in session["_line_items"] if line["price"]["type"] == "recurring"]
    data = session["_data"]
    later = sum(
        line["price"]["unit_amount"] * line["quantity"] for line in recurring if line["price"]["unit_amount"]
    )
    email = session["customer_email"] or ((store.get(session["customer"]) or {}).get("email"))
    code = next((item for item in session["discounts"] if item["promotion_code"]), None)
    return page(
        "checkout.html",
        status=status,
        session=session,
        lines=session["_line_items"],
        values=values or {},
        errors=errors or {},
        email=email,
        recurring=recurring[0]["price"]["recurring"] if recurring else None,
        trial_days=data.get("trial_period_days"),
        later=later,
        needs_card=checkout_payment.needs_card(session),
        coupons=[checkout.coupon_of(item) for item in session["discounts"]],
        code=store.get(code["promotion_code"]) if code else None,
        leads_to=(session["success_url"], session["cancel_url"]),
    )


async def act(request: Request) -> Response:
    """POST /c/pay/{session}: apply or remove a code, or pay."""
    session = store.find(checkout.KIND, request.path_params["session"])
    if session is None:
        return over("There is no such payment page.", 404)
    closed = _closed(session)
    if closed:
        return closed
    form = await request.form()
    names = ("email", "cardNumber", "cardExpiry", "cardCvc", "billingName", "promotionCode")
    values = {name: text(form, name) for name in names}
    action = text(form, "action") or "pay"
    # A code that was typed but not applied is applied first, so that nobody pays the full price by accident.
    typed = values["promotionCode"] and not session["discounts"]
    if session["allow_promotion_codes"] and (action == "apply_code" or (action == "pay" and typed)):
        problem = checkout_payment.apply_code(session["id"], values["promotionCode"])
        errors = {"promotionCode": problem} if problem else {}
        return _page(checkout.get(session["id"]), values, errors, 422 if problem else 200)
    if action == "remove_code":
        checkout_payment.remove_code(session["id"])
        return _page(checkout.get(session["id"]), values)
    return _pay(session, values)


def _pay(session: dict[str, Any], values: dict[str, str]) -> Response:
    email, errors = _email(session, values)
    card = None
    if checkout_payment.needs_card(session):
        card, wrong = cards.check(values["cardNumber"], values["cardExpiry"], values["cardCvc"])
        errors |= wrong
        if not values["billingName"]:
            errors["billingName"] = "Enter the name on your card."
    if errors:
        return _page(session, values, errors, 422)
    outcome = checkout_payment.submit(session["id"], card, email=email, name=values["billingName"])
    if outcome.authenticate and card:
        with store.transaction():
            # The card waits here while the bank asks; it is a test card.
            store.edit(session["id"])["_waiting"] = {
                "number": card.number,
                "month": card.exp_month,
                "year": card.exp_year,
                "cvc": card.cvc,
                "email": email,
                "name": values["billingName"],
            }
        return RedirectResponse(f"/c/authenticate/{session['id']}", SEE_OTHER)
    if outcome.location:
        return RedirectResponse(outcome.location, SEE_OTHER)
    return _page(checkout.get(session["id"]), values, {"card": outcome.message or cards.GENERIC}, 402)


def _email(session: dict[str, Any], values: dict[str, str]) -> tuple[str, dict[str, str]]:
    known = session["customer_email"] or (store.get(session["customer"]) or {}).get("email")
    if known:
        return known, {}
    name, _, domain = values["email"].partition("@")
    if not name or "." not in domain:
        return "", {"email": "Enter your email address, such as you@example.com."}
    return values["email"], {}


async def ask(request: Request) -> Response:
    """GET /c/authenticate/{session}: the bank's page."""
    session = store.find(checkout.KIND, request.path_params["session"])
    if session is None or not session.get("_waiting"):
        return over("There is nothing to confirm.", 404)
    closed = _closed(session)
    if closed:
        return closed
    return page(
        "authenticate.html",
        action=f"/c/authenticate/{session['id']}",
        amount=session["amount_total"],
        currency=session["currency"],
        last4=session["_waiting"]["number"][-4:],
        leads_to=(session["success_url"], session["cancel_url"]),
    )


async def answer(request: Request) -> Response:
    """POST /c/authenticate/{session}: Complete or Fail."""
    session = store.find(checkout.KIND, request.path_params["session"])
    if session is None or not session.get("_waiting"):
        return over("There is nothing to confirm.", 404)
    closed = _closed(session)
    if closed:
        return closed
    form = await request.form()
    waiting = session["_waiting"]
    values = {"email": waiting["email"], "billingName": waiting["name"]}
    with store.transaction():
        store.edit(session["id"])["_waiting"] = None
    if text(form, "result") != "complete":
        message = "We are unable to authenticate your payment method. Choose another card and try again."
        return _page(checkout.get(session["id"]), values, {"card": message}, 402)
    card = cards.Card(waiting["number"], waiting["month"], waiting["year"], waiting["cvc"])
    outcome = checkout_payment.submit(
        session["id"], card, email=waiting["email"], name=waiting["name"], authenticated=True
    )
    if outcome.location:
        return RedirectResponse(outcome.location, SEE_OTHER)
    return _page(checkout.get(session["id"]), values, {"card": outcome.message or cards.GENERIC}, 402)


routes = [
    Route("/c/pay/{session}", show, methods=["GET"]),
    Route("/c/pay/{session}", act, methods=["POST"]),
    Route("/c/authenticate/{session}", ask, methods=["GET"]),
    Route("/c/authenticate/{session}", answer, methods=["POST"]),
]
