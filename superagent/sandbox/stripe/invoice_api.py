"""Endpoints of invoices, their lines and payments, and of invoice items."""

from typing import Any

from stripe.params import (
    InvoiceCreateParams,
    InvoiceDeleteParams,
    InvoiceFinalizeInvoiceParams,
    InvoiceItemCreateParams,
    InvoiceItemDeleteParams,
    InvoiceItemListParams,
    InvoiceItemRetrieveParams,
    InvoiceItemUpdateParams,
    InvoiceLineItemListParams,
    InvoiceListParams,
    InvoiceMarkUncollectibleParams,
    InvoicePaymentListParams,
    InvoicePaymentRetrieveParams,
    InvoicePayParams,
    InvoiceRetrieveParams,
    InvoiceUpdateParams,
    InvoiceVoidInvoiceParams,
)

from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import (
    catalog,
    customers,
    discounts,
    drafts,
    invoicing,
    lines,
    payment_methods,
    proration,
    shapes,
    subscriptions,
)
from superagent.sandbox.stripe.errors import invalid, missing, refuse, refuse_enabled
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.render import included, plain
from superagent.sandbox.stripe.routes import Call, Page, route

NOT_BUILT = (
    "application_fee_amount",
    "default_source",
    "default_tax_rates",
    "from_invoice",
    "on_behalf_of",
    "shipping_cost",
    "transfer_data",
    "account_tax_ids",
)
PLAIN = (
    "custom_fields",
    "description",
    "due_date",
    "effective_at",
    "footer",
    "number",
    "statement_descriptor",
    "collection_method",
    "auto_advance",
    "automatically_finalizes_at",
    "default_payment_method",
)


@route("POST", "/v1/invoices", InvoiceCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    refuse_enabled(params, "automatic_tax")
    subscription = subscriptions.get(params["subscription"]) if "subscription" in params else None
    owner = subscription["customer"] if subscription else params.get("customer")
    customer = customers.get(owner)
    currency = params.get("currency") or (subscription or customer)["currency"] or "usd"
    waiting = []
    if params.get("pending_invoice_items_behavior", "exclude") == "include":
        waiting = subscriptions.pending_items(customer["id"], params.get("subscription"), currency)
    values = {name: params[name] or None for name in PLAIN if name in params}
    values["auto_advance"] = params.get("auto_advance", False)
    invoice = drafts.draft(
        customer_id=customer["id"],
        reason="manual",
        currency=currency,
        data=[lines.of_invoice_item(item) for item in waiting],
        subscription=subscription,
        discounts=discounts.redeem(params.get("discounts"), customer_id=customer["id"]),
        metadata=params.get("metadata") or {},
        _days_until_due=params.get("days_until_due"),
        **values,
    )
    subscriptions.take_items(waiting, invoice)
    return invoice


@route("GET", "/v1/invoices", InvoiceListParams)
def list_invoices(call: Call) -> Page:
    params = call.params
    found = [
        item
        for item in store.each("invoice")
        if matches(item, params, "customer", "status", "collection_method")
        and params.get("subscription") in (None, invoicing.subscription_of(item))
        and matches_created(item, params)
        and matches_created(item, params, "due_date")
    ]
    return Page(found, "/v1/invoices")


@route("GET", "/v1/invoices/{invoice_id}", InvoiceRetrieveParams)
def retrieve(call: Call, invoice_id: str) -> dict[str, Any]:
    return invoicing.get(invoice_id)


@route("POST", "/v1/invoices/{invoice_id}", InvoiceUpdateParams)
def update(call: Call, invoice_id: str) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    if invoicing.get(invoice_id)["status"] != "draft" and set(params) - {
        "metadata",
        "expand",
        "auto_advance",
    }:
        raise invalid("Finalized invoices can't be updated in this way", code="invoice_not_editable")
    with updating(invoice_id, "invoice.updated") as invoice:
        apply(invoice, params, *PLAIN)
        if params.get("auto_advance") and invoice["automatically_finalizes_at"] is None:
            invoice["automatically_finalizes_at"] = invoice["created"] + 3600
        apply_metadata(invoice, params)
        if "discounts" in params:
            invoice["discounts"] = discounts.redeem(params["discounts"], customer_id=invoice["customer"])
        if invoice["status"] == "draft":
            lines.total(invoice)
    return invoice


@route("DELETE", "/v1/invoices/{invoice_id}", InvoiceDeleteParams)
def delete(call: Call, invoice_id: str) -> dict[str, Any]:
    invoice = invoicing.get(invoice_id)
    if invoice["status"] != "draft" or invoicing.subscription_of(invoice):
        raise invalid("You can only delete draft invoices that do not belong to a subscription.")
    for item in list(store.each("invoiceitem")):
        if item["invoice"] == invoice_id:
            store.remove(item["id"])
    emit("invoice.deleted", invoice)
    store.remove(invoice_id)
    return {"id": invoice_id, "object": "invoice", "deleted": True}


@route("POST", "/v1/invoices/{invoice_id}/finalize", InvoiceFinalizeInvoiceParams)
def finalize(call: Call, invoice_id: str) -> dict[str, Any]:
    if "auto_advance" in call.params and invoicing.get(invoice_id)["status"] == "draft":
        store.edit(invoice_id)["auto_advance"] = call.params["auto_advance"]
    return invoicing.finalize(invoice_id)


@route("POST", "/v1/invoices/{invoice_id}/pay", InvoicePayParams)
def pay(call: Call, invoice_id: str) -> dict[str, Any]:
    params = call.params
    refuse(params, "source", "mandate")
    if invoicing.get(invoice_id)["status"] == "draft":
        invoicing.finalize(invoice_id)
    invoice = invoicing.get(invoice_id)
    if params.get("paid_out_of_band"):
        if invoice["status"] not in ("open", "uncollectible"):
            raise invalid(f"Invoice is {invoice['status']}", code="invoice_not_payable")
        invoicing.mark_paid(invoice_id, out_of_band=True)
        return store.edit(invoice_id)
    if invoice["status"] == "paid" and invoice["amount_due"] == 0:
        return invoice
    method = None
    if "payment_method" in params:
        method = payment_methods.get(params["payment_method"])
        if method["customer"] not in (None, invoice["customer"]):
            raise invalid("The payment method belongs to another customer.", param="payment_method")
    invoice = invoicing.pay(invoice_id, method, off_session=params.get("off_session", True))
    if invoice["status"] == "open":
        raise invoicing.payment_error(invoice)
    return invoice


@route("POST", "/v1/invoices/{invoice_id}/void", InvoiceVoidInvoiceParams)
def void(call: Call, invoice_id: str) -> dict[str, Any]:
    return invoicing.void(invoice_id)


@route("POST", "/v1/invoices/{invoice_id}/mark_uncollectible", InvoiceMarkUncollectibleParams)
def mark_uncollectible(call: Call, invoice_id: str) -> dict[str, Any]:
    return invoicing.mark_uncollectible(invoice_id)


@route("GET", "/v1/invoices/{invoice_id}/lines", InvoiceLineItemListParams)
def list_lines(call: Call, invoice_id: str) -> Page:
    data = invoicing.get(invoice_id)["lines"]["data"]
    return Page(data[::-1], f"/v1/invoices/{invoice_id}/lines")


# Payments of invoices


def _payments(invoice_id: str | None) -> list[dict[str, Any]]:
    return [item for item in store.each("invoice_payment") if invoice_id in (None, item["invoice"])]


@route("GET", "/v1/invoice_payments", InvoicePaymentListParams)
def list_payments(call: Call) -> Page:
    params = call.params
    wanted = params.get("payment", {}).get("payment_intent")
    found = [
        item
        for item in _payments(params.get("invoice"))
        if matches(item, params, "status")
        and matches_created(item, params)
        and wanted in (None, item["payment"].get("payment_intent"))
    ]
    return Page(found, "/v1/invoice_payments")


@route("GET", "/v1/invoice_payments/{payment_id}", InvoicePaymentRetrieveParams)
def retrieve_payment(call: Call, payment_id: str) -> dict[str, Any]:
    payment = store.find("invoice_payment", payment_id)
    if payment is None:
        raise missing("invoice_payment", payment_id)
    return payment


@included("invoice", "payments")
def _invoice_payments(invoice: dict[str, Any]) -> dict[str, Any]:
    found = [plain(item) for item in _payments(invoice["id"])]
    return shapes.listing(found[::-1], "/v1/invoice_payments")


@included("invoice", "confirmation_secret")
def _confirmation_secret(invoice: dict[str, Any]) -> dict[str, Any] | None:
    intent = store.get((store.get(invoice["id"]) or {}).get("_intent"))
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


# Invoice items


def _amounts(params: dict[str, Any]) -> dict[str, Any]:
    """Returns amount, currency, quantity and pricing of an invoice item's parameters."""
    refuse(params, "tax_rates", "quantity_decimal")
    quantity = params.get("quantity", 1)
    price_id = params.get("pricing", {}).get("price")
    if price_id or "price_data" in params:
        price = (
            catalog.usable_price(price_id, param="pricing[price]")
            if price_id
            else catalog.inline_price(params["price_data"], param="price_data")
        )
        name = catalog.product(price["product"])["name"]
        return {
            "amount": catalog.amount(price, quantity),
            "currency": price["currency"],
            "quantity": quantity,
            "pricing": lines.pricing(price),
            "description": name,
        }
    if "unit_amount_decimal" in params:
        unit = params["unit_amount_decimal"]
        total = catalog.amount({"unit_amount_decimal": str(unit)}, quantity)
        return {"amount": total, "quantity": quantity, "unit_amount_decimal": str(unit)}
    if "amount" not in params:
        raise invalid("You must pass one of `amount`, `pricing` or `unit_amount_decimal`.", param="amount")
    return {"amount": params["amount"], "quantity": quantity} if quantity == 1 else _refuse_quantity()


def _refuse_quantity() -> dict[str, Any]:
    raise invalid(
        "`quantity` goes with `pricing` or `unit_amount_decimal`, not with `amount`.", param="quantity"
    )


@route("POST", "/v1/invoiceitems", InvoiceItemCreateParams)
def create_item(call: Call) -> dict[str, Any]:
    params = call.params
    customer = customers.get(params.get("customer"))
    amounts = _amounts(params)
    currency = amounts.pop("currency", None) or params.get("currency")
    if not currency:
        raise invalid("Missing required param: currency.", param="currency", code="parameter_missing")
    subscription_id = params.get("subscription")
    if subscription_id:
        subscriptions.get(subscription_id, param="subscription", status=400)
    values: dict[str, Any] = {
        name: params[name]
        for name in ("description", "period", "discountable")
        if params.get(name) not in (None, "")
    }
    if amounts["amount"] < 0:
        values.setdefault("discountable", False)
    if "invoice" in params:
        invoice = invoicing.editable(params["invoice"])
        if invoice["customer"] != customer["id"]:
            raise invalid("The invoice belongs to another customer.", param="invoice")
        if invoice["currency"] != currency.lower():
            raise invalid("The invoice is in another currency.", param="currency")
        subscription_id = subscription_id or invoicing.subscription_of(invoice)
    if subscription_id:
        values["parent"] = {
            "subscription_details": {"subscription": subscription_id, "subscription_item": None},
            "type": "subscription_details",
        }
    item = proration.invoice_item(
        customer_id=customer["id"],
        currency=currency.lower(),
        invoice=params.get("invoice"),
        metadata=params.get("metadata") or {},
        **(amounts | values),
    )
    if item["invoice"]:
        with updating(item["invoice"], "invoice.updated") as changed:
            changed["lines"]["data"].append(lines.of_invoice_item(item))
            lines.total(changed)
    return item


def _item(item_id: str) -> dict[str, Any]:
    item = store.find("invoiceitem", item_id)
    if item is None:
        raise missing("invoiceitem", item_id)
    return item


@route("GET", "/v1/invoiceitems", InvoiceItemListParams)
def list_items(call: Call) -> Page:
    params = call.params
    found = [
        item
        for item in store.each("invoiceitem")
        if matches(item, params, "customer", "invoice")
        and matches_created({"created": item["date"]}, params)
        and ("pending" not in params or (item["invoice"] is None) == params["pending"])
    ]
    return Page(found, "/v1/invoiceitems")


@route("GET", "/v1/invoiceitems/{item_id}", InvoiceItemRetrieveParams)
def retrieve_item(call: Call, item_id: str) -> dict[str, Any]:
    return _item(item_id)


@route("POST", "/v1/invoiceitems/{item_id}", InvoiceItemUpdateParams)
def update_item(call: Call, item_id: str) -> dict[str, Any]:
    params = call.params
    if _item(item_id)["invoice"]:
        invoicing.editable(_item(item_id)["invoice"])
    item = store.edit(item_id)
    before = clone(item)
    apply(item, params, "description", "period", "discountable")
    if "amount" in params:
        item["amount"] = item["net_amount"] = params["amount"]
    apply_metadata(item, params)
    if item["invoice"] and item != before:
        _replace_line(item)
    return item


def _replace_line(item: dict[str, Any], *, gone: bool = False) -> None:
    with updating(item["invoice"], "invoice.updated") as invoice:
        data = invoice["lines"]["data"]
        for index, line in enumerate(data):
            if line.get("_item") == item["id"]:
                data[index : index + 1] = [] if gone else [lines.of_invoice_item(item) | {"id": line["id"]}]
                break
        lines.total(invoice)


@route("DELETE", "/v1/invoiceitems/{item_id}", InvoiceItemDeleteParams)
def delete_item(call: Call, item_id: str) -> dict[str, Any]:
    item = _item(item_id)
    if item["invoice"]:
        invoicing.editable(item["invoice"])
        _replace_line(item, gone=True)
    emit("invoiceitem.deleted", item)
    store.remove(item_id)
    return {"id": item_id, "object": "invoiceitem", "deleted": True}
