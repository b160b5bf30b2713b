"""Checkout sessions: the API's side. The hosted page is in `pages`, paying in `checkout_payment`."""

from typing import Any

from stripe.params.checkout import (
    SessionCreateParams,
    SessionExpireParams,
    SessionListLineItemsParams,
    SessionListParams,
    SessionRetrieveParams,
    SessionUpdateParams,
)

from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe import catalog, customers, discounts, ids, moment, shapes
from superagent.sandbox.stripe.drafts import no_tax
from superagent.sandbox.stripe.errors import invalid, missing, refuse, refuse_enabled
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.paging import apply_metadata, matches, matches_created
from superagent.sandbox.stripe.render import included, plain
from superagent.sandbox.stripe.routes import Call, Page, route

KIND = "checkout.session"
NOT_BUILT = (
    "custom_fields",
    "optional_items",
    "shipping_options",
    "currency_conversion",
    "payment_method_data",
    "managed_payments",
    "after_expiration",
    "shipping_address_collection",
)
PAYMENT_DATA_NOT_BUILT = ("application_fee_amount", "transfer_data", "on_behalf_of")
HOURS_OPEN = 24
PLAIN = (
    "allow_promotion_codes",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "customer_email",
    "locale",
    "metadata",
    "submit_type",
    "success_url",
)


def get(session_id: str) -> dict[str, Any]:
    """Returns a session that exists."""
    session = store.find(KIND, session_id)
    if session is None:
        raise missing("checkout.session", session_id, param="session")
    return session


def _line(item: dict[str, Any], index: int) -> dict[str, Any]:
    place = f"line_items[{index}]"
    refuse(item, "tax_rates", "dynamic_tax_rates", "adjustable_quantity")
    if "price_data" in item:
        price = catalog.inline_price(item["price_data"], param=f"{place}[price_data]")
    elif "price" in item:
        price = catalog.usable_price(item["price"], param=f"{place}[price]")
    else:
        raise invalid("You must pass `price` or `price_data`.", param=f"{place}[price]")
    quantity = item.get("quantity")
    if quantity is None:
        raise invalid(
            f"Missing required param: {place}[quantity].",
            param=f"{place}[quantity]",
            code="parameter_missing",
        )
    amount = catalog.amount(price, quantity)
    return shapes.build(
        "item",
        id=ids.new("li"),
        amount_discount=0,
        amount_subtotal=amount,
        amount_tax=0,
        amount_total=amount,
        currency=price["currency"],
        description=catalog.product(price["product"])["name"],
        discounts=[],
        price=price,
        quantity=quantity,
        taxes=[],
        metadata=item.get("metadata") or {},
    )


def _check_mode(params: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    mode = str(params.get("mode", "payment"))
    recurring = [line for line in lines if line["price"]["type"] == "recurring"]
    if mode == "payment" and recurring:
        message = (
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use "
            "only one-time prices."
        )
        raise invalid(message, param="line_items")
    if mode == "subscription" and not recurring:
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode.", param="line_items"
        )
    if mode != "setup" and not lines:
        raise invalid("Missing required param: line_items.", param="line_items", code="parameter_missing")
    if mode != "subscription" and "subscription_data" in params:
        raise invalid("You can not pass `subscription_data` in this mode.", param="subscription_data")
    if mode != "payment" and "payment_intent_data" in params:
        raise invalid("You can not pass `payment_intent_data` in this mode.", param="payment_intent_data")
    if len({line["currency"] for line in lines}) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    return mode


def _check(params: dict[str, Any]) -> None:
    refuse(params, *NOT_BUILT)
    refuse_enabled(params, "automatic_tax", "tax_id_collection", "phone_number_collection")
    refuse(params.get("payment_intent_data", {}), *PAYMENT_DATA_NOT_BUILT)
    if params.get("payment_intent_data", {}).get("capture_method") == "manual":
        raise invalid("The sandbox captures automatically only.", param="payment_intent_data[capture_method]")
    refuse(
        params.get("subscription_data", {}),
        "application_fee_percent",
        "default_tax_rates",
        "on_behalf_of",
        "pending_invoice_item_interval",
        "transfer_data",
    )
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise invalid("The sandbox supports `ui_mode=hosted_page` only.", param="ui_mode")
    if "success_url" not in params:
        raise invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    for name in ("success_url", "cancel_url"):
        if name in params and not params[name].startswith(("http://", "https://")):
            raise invalid("Not a valid URL", param=name, code="url_invalid")
    if "discounts" in params and "allow_promotion_codes" in params:
        message = "You may only specify one of these parameters: allow_promotion_codes, discounts."
        raise invalid(message, param="discounts")
    if "customer" in params and "customer_email" in params:
        raise invalid(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    if "customer_update" in params and "customer" not in params:
        raise invalid("`customer_update` can only be used with `customer`.", param="customer_update")


@route("POST", "/v1/checkout/sessions", SessionCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    _check(params)
    lines = [_line(item, index) for index, item in enumerate(params.get("line_items", []))]
    mode = _check_mode(params, lines)
    customer = customers.get(params["customer"]) if "customer" in params else None
    now = moment.real()
    expires_at = params.get("expires_at", now + HOURS_OPEN * moment.HOUR)
    if not now + 29 * 60 <= expires_at <= now + HOURS_OPEN * moment.HOUR + 60:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from now."
        raise invalid(message, param="expires_at")
    session_id = ids.new("cs_test")
    collection = "if_required" if mode == "payment" else params.get("payment_method_collection", "always")
    creation = (
        params.get("customer_creation", "if_required") if mode == "payment" and customer is None else None
    )
    given = {
        "id": session_id,
        "created": now,
        "currency": lines[0]["currency"] if lines else params.get("currency"),
        "customer": customer["id"] if customer else None,
        "customer_creation": creation,
        "customer_details": details(customer or {}, params.get("customer_email")),
        "discounts": _discounts(params.get("discounts"), customer),
        "expires_at": expires_at,
        "invoice_creation": _invoice_creation(params, mode),
        "mode": mode,
        "payment_method_collection": collection,
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "url": f"{settings.url}/c/pay/{session_id}",
        "_line_items": lines,
        "_data": _data_of(params),
        "_customer_update": params.get("customer_update", {}),
    }
    same = {name: params[name] for name in PLAIN if name in params}
    session = store.add(shapes.build(KIND, **(_blank() | same | given)))
    total(session)
    return session


def _data_of(params: dict[str, Any]) -> dict[str, Any]:
    names = ("subscription_data", "payment_intent_data", "setup_intent_data")
    return next((params[name] for name in names if params.get(name)), {})


def _blank() -> dict[str, Any]:
    """Returns what every new session has."""
    texts = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    return {
        "adaptive_pricing": {"enabled": False},
        "automatic_tax": no_tax_of_session(),
        "custom_fields": [],
        "custom_text": dict.fromkeys(texts),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
    }


def no_tax_of_session() -> dict[str, Any]:
    """Returns the automatic tax of a session, which has one field less than an invoice's."""
    tax = no_tax()
    del tax["disabled_reason"]
    return tax


def details(customer: dict[str, Any], email: str | None) -> dict[str, Any] | None:
    """Returns who the session says the customer is."""
    if not customer and not email:
        return None
    return {
        "address": None,
        "business_name": None,
        "email": email or customer.get("email"),
        "individual_name": None,
        "name": customer.get("name"),
        "phone": customer.get("phone"),
        "tax_exempt": customer.get("tax_exempt", "none"),
        "tax_ids": [],
    }


def _discounts(given: list[dict[str, Any]] | None, customer: dict[str, Any] | None) -> list[dict[str, Any]]:
    found = []
    for index, item in enumerate(given or []):
        code_id = item.get("promotion_code")
        if code_id:
            discounts.promotion(code_id, param=f"discounts[{index}][promotion_code]")
        else:
            discounts.coupon(item.get("coupon"), param=f"discounts[{index}][coupon]")
        found.append({"coupon": item.get("coupon"), "promotion_code": code_id})
    return found


def _invoice_creation(params: dict[str, Any], mode: str) -> dict[str, Any] | None:
    if mode != "payment":
        return None
    given = params.get("invoice_creation", {})
    data = given.get("invoice_data", {})
    return {
        "enabled": given.get("enabled", False),
        "invoice_data": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": data.get("description"),
            "footer": data.get("footer"),
            "issuer": None,
            "metadata": data.get("metadata") or {},
            "rendering_options": None,
        },
    }


def total(session: dict[str, Any]) -> None:
    """Compute what is due today: a trial makes recurring lines free, discounts lower the rest."""
    if session["mode"] == "setup":
        return
    trial = bool(session["_data"].get("trial_period_days") or session["_data"].get("trial_end"))
    lines = session["_line_items"]
    for line in lines:
        free = trial and line["price"]["type"] == "recurring"
        line["amount_subtotal"] = 0 if free else catalog.amount(line["price"], line["quantity"])
        line["amount_discount"] = 0
    for item in session["discounts"]:
        source = coupon_of(item)
        rest = off = discounts.coupon_off(source, sum(line["amount_subtotal"] for line in lines))
        base = sum(line["amount_subtotal"] for line in lines)
        for index, line in enumerate(lines):
            share = (
                rest if index == len(lines) - 1 else (off * line["amount_subtotal"] // base if base else 0)
            )
            line["amount_discount"] += share
            rest -= share
    for line in lines:
        line["amount_total"] = line["amount_subtotal"] - line["amount_discount"]
    session["amount_subtotal"] = sum(line["amount_subtotal"] for line in lines)
    session["amount_total"] = sum(line["amount_total"] for line in lines)
    session["total_details"]["amount_discount"] = sum(line["amount_discount"] for line in lines)


def coupon_of(item: dict[str, Any]) -> dict[str, Any]:
    """Returns the coupon behind a session's discount."""
    if item["promotion_code"]:
        return discounts.coupon(discounts.promotion(item["promotion_code"])["promotion"]["coupon"])
    return discounts.coupon(item["coupon"])


@route("GET", "/v1/checkout/sessions", SessionListParams)
def list_sessions(call: Call) -> Page:
    params = call.params
    found = [
        item
        for item in store.each(KIND)
        if matches(item, params, "customer", "payment_intent", "subscription", "status")
        and matches_created(item, params)
    ]
    return Page(found, "/v1/checkout/sessions")


@route("GET", "/v1/checkout/sessions/{session_id}", SessionRetrieveParams)
def retrieve(call: Call, session_id: str) -> dict[str, Any]:
    return get(session_id)


@route("POST", "/v1/checkout/sessions/{session_id}", SessionUpdateParams)
def update(call: Call, session_id: str) -> dict[str, Any]:
    get(session_id)
    refuse(call.params, "collected_information", "shipping_options", "line_items")
    session = store.edit(session_id)
    apply_metadata(session, call.params)
    return session


@route("POST", "/v1/checkout/sessions/{session_id}/expire", SessionExpireParams)
def expire_session(call: Call, session_id: str) -> dict[str, Any]:
    session = get(session_id)
    if session["status"] != "open":
        message = (
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status '
            f"of `{session['status']}`."
        )
        raise invalid(message)
    return expire(session_id)


def expire(session_id: str) -> dict[str, Any]:
    """Close a session that was not paid; emit `checkout.session.expired`."""
    session = store.edit(session_id)
    session["status"], session["url"] = "expired", None
    emit("checkout.session.expired", session)
    return session


@route("GET", "/v1/checkout/sessions/{session_id}/line_items", SessionListLineItemsParams)
def list_line_items(call: Call, session_id: str) -> Page:
    return Page(get(session_id)["_line_items"][::-1], f"/v1/checkout/sessions/{session_id}/line_items")


@included(KIND, "line_items")
def _line_items(session: dict[str, Any]) -> dict[str, Any]:
    items = [plain(line) for line in get(session["id"])["_line_items"]]
    return shapes.listing(items, f"/v1/checkout/sessions/{session['id']}/line_items")
