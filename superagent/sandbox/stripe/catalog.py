"""Products and prices."""

from decimal import Decimal
from typing import Any

from stripe.params import (
    PriceCreateParams,
    PriceListParams,
    PriceRetrieveParams,
    PriceUpdateParams,
    ProductCreateParams,
    ProductDeleteParams,
    ProductListParams,
    ProductRetrieveParams,
    ProductUpdateParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import ids, moment, shapes
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.render import included
from superagent.sandbox.stripe.routes import Call, Page, route

PRODUCT_PLAIN = (
    "description",
    "images",
    "marketing_features",
    "package_dimensions",
    "shippable",
    "statement_descriptor",
    "tax_code",
    "unit_label",
    "url",
)


def product(product_id: str | None, *, param: str = "product", status: int = 400) -> dict[str, Any]:
    """Returns a product that exists."""
    found = store.find("product", product_id)
    if found is None:
        raise missing("product", str(product_id), param=param, status=status)
    return found


def price(price_id: str | None, *, param: str = "price", status: int = 400) -> dict[str, Any]:
    """Returns a price that exists."""
    found = store.find("price", price_id)
    if found is None:
        raise missing("price", str(price_id), param=param, status=status)
    return found


def usable_price(price_id: str, *, param: str) -> dict[str, Any]:
    """Returns a price that may be sold."""
    found = price(price_id, param=param)
    if not found["active"]:
        message = "The price specified is inactive. This field only accepts active prices."
        raise invalid(message, param=param)
    return found


def inline_price(data: dict[str, Any], *, param: str) -> dict[str, Any]:
    """Create the price that `price_data` describes, with its product if that is inline too."""
    if "product_data" in data:
        owner = new_product(
            name=data["product_data"]["name"], metadata=data["product_data"].get("metadata") or {}
        )
        owner_id = owner["id"]
    elif "product" in data:
        owner_id = product(data["product"], param=f"{param}[product]")["id"]
    else:
        raise invalid("You must specify either `product` or `product_data`.", param=param)
    return new_price(product=owner_id, active=False, **_terms(data))


def amount(owner: dict[str, Any], quantity: int) -> int:
    """Returns what `quantity` costs, rounded half up once."""
    total = Decimal(owner["unit_amount_decimal"] or 0) * quantity
    return int((abs(total) + Decimal("0.5")) // 1) * (1 if total >= 0 else -1)


def plan(source: dict[str, Any]) -> dict[str, Any]:
    """Returns the old-style plan that a recurring price also is."""
    recurring = source["recurring"]
    return shapes.build(
        "plan",
        id=source["id"],
        active=source["active"],
        amount=source["unit_amount"],
        amount_decimal=source["unit_amount_decimal"],
        billing_scheme=source["billing_scheme"],
        created=source["created"],
        currency=source["currency"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        metadata=source["metadata"],
        nickname=source["nickname"],
        product=source["product"],
        usage_type=recurring["usage_type"],
    )


# Products


def new_product(**values: Any) -> dict[str, Any]:
    """Add a product and emit `product.created`."""
    now = moment.real()
    made = store.add(
        shapes.build(
            "product",
            **(
                {
                    "id": ids.new("prod"),
                    "active": True,
                    "created": now,
                    "images": [],
                    "marketing_features": [],
                    "type": "service",
                    "updated": now,
                }
                | values
            ),
        )
    )
    emit("product.created", made)
    return made


@route("POST", "/v1/products", ProductCreateParams)
def create_product(call: Call) -> dict[str, Any]:
    params = call.params
    if store.get(params.get("id")):
        raise invalid("Product already exists.", param="id", code="resource_already_exists")
    values = {
        name: params[name] for name in (*PRODUCT_PLAIN, "id", "active", "name", "type") if name in params
    }
    made = new_product(**values, metadata=params.get("metadata") or {})
    if "default_price_data" in params:
        first = new_price(product=made["id"], **_terms(params["default_price_data"]))
        made["default_price"] = first["id"]
    return made


@route("GET", "/v1/products", ProductListParams)
def list_products(call: Call) -> Page:
    wanted = call.params.get("ids")
    found = [
        item
        for item in store.each("product")
        if (not wanted or item["id"] in wanted)
        and matches(item, call.params, "active", "shippable", "url")
        and matches_created(item, call.params)
    ]
    return Page(found, "/v1/products")


@route("GET", "/v1/products/{product_id}", ProductRetrieveParams)
def retrieve_product(call: Call, product_id: str) -> dict[str, Any]:
    return product(product_id, param="id", status=404)


@route("POST", "/v1/products/{product_id}", ProductUpdateParams)
def update_product(call: Call, product_id: str) -> dict[str, Any]:
    product(product_id, param="id", status=404)
    if call.params.get("default_price"):
        price(call.params["default_price"], param="default_price")
    with updating(product_id, "product.updated") as changed:
        before = dict(changed)
        apply(changed, call.params, *PRODUCT_PLAIN, "active", "name", "default_price")
        for name in ("images", "marketing_features"):
            changed[name] = changed[name] or []
        apply_metadata(changed, call.params)
        if changed != before:
            changed["updated"] = moment.real()
    return changed


@route("DELETE", "/v1/products/{product_id}", ProductDeleteParams)
def delete_product(call: Call, product_id: str) -> dict[str, Any]:
    gone = product(product_id, param="id", status=404)
    if any(item["product"] == product_id for item in store.each("price")):
        message = (
            "This product cannot be deleted because it has one or more user-created prices. "
            "You can set `active=false` on the product instead."
        )
        raise invalid(message)
    emit("product.deleted", gone)
    store.remove(product_id)
    return {"id": product_id, "object": "product", "deleted": True}


# Prices


def new_price(**values: Any) -> dict[str, Any]:
    """Add a price and emit `price.created`."""
    made = store.add(
        shapes.build(
            "price",
            **(
                {
                    "id": ids.new("price"),
                    "active": True,
                    "billing_scheme": "per_unit",
                    "created": moment.real(),
                    "tax_behavior": "unspecified",
                }
                | values
            ),
        )
    )
    emit("price.created", made)
    return made


def _terms(params: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields that say what a price costs and how often."""
    refuse(params, "custom_unit_amount", "tiers", "tiers_mode", "transform_quantity", "currency_options")
    whole, exact = params.get("unit_amount"), params.get("unit_amount_decimal")
    if (whole is None) == (exact is None):
        raise invalid(
            "You must provide exactly one of `unit_amount` or `unit_amount_decimal`.", param="unit_amount"
        )
    if whole is not None and whole < 0:
        raise invalid("Invalid non-negative integer", param="unit_amount", code="parameter_invalid_integer")
    if exact is not None and exact == int(exact):
        whole = int(exact)
    recurring = params.get("recurring")
    if recurring:
        refuse(recurring, "meter")
        if recurring.get("usage_type") == "metered":
            raise invalid("The sandbox supports licensed prices only.", param="recurring[usage_type]")
        recurring = {
            "interval": recurring["interval"],
            "interval_count": recurring.get("interval_count", 1),
            "meter": None,
            "trial_period_days": recurring.get("trial_period_days"),
            "usage_type": "licensed",
        }
    return {
        "currency": params["currency"].lower(),
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "type": "recurring" if recurring else "one_time",
        "unit_amount": whole,
        "unit_amount_decimal": str(exact if exact is not None else whole),
    }


def _claim_lookup_key(params: dict[str, Any], owner_id: str | None = None) -> str | None:
    key = params.get("lookup_key")
    if not key:
        return None
    for other in list(store.each("price")):
        if other["lookup_key"] == key and other["id"] != owner_id:
            if not params.get("transfer_lookup_key"):
                message = f"A price (`{other['id']}`) already uses that lookup key."
                raise invalid(message, param="lookup_key")
            with updating(other["id"], "price.updated") as former:
                former["lookup_key"] = None
    return key


@route("POST", "/v1/prices", PriceCreateParams)
def create_price(call: Call) -> dict[str, Any]:
    params = call.params
    terms = _terms(params)
    if "product_data" in params:
        data = params["product_data"]
        values = {
            name: data[name]
            for name in ("id", "active", "statement_descriptor", "unit_label")
            if name in data
        }
        owner = new_product(name=data["name"], metadata=data.get("metadata") or {}, **values)
    else:
        if "product" not in params:
            raise invalid("Missing required param: product.", param="product", code="parameter_missing")
        owner = product(params["product"])
    return new_price(
        product=owner["id"],
        active=params.get("active", True),
        nickname=params.get("nickname") or None,
        lookup_key=_claim_lookup_key(params),
        metadata=params.get("metadata") or {},
        **terms,
    )


@route("GET", "/v1/prices", PriceListParams)
def list_prices(call: Call) -> Page:
    params = call.params
    keys, recurring = params.get("lookup_keys"), params.get("recurring", {})
    found = [
        item
        for item in store.each("price")
        if (not keys or item["lookup_key"] in keys)
        and matches(item, params, "active", "currency", "product", "type")
        and (not recurring or (item["recurring"] and matches(item["recurring"], recurring, *recurring)))
        and matches_created(item, params)
    ]
    return Page(found, "/v1/prices")


@route("GET", "/v1/prices/{price_id}", PriceRetrieveParams)
def retrieve_price(call: Call, price_id: str) -> dict[str, Any]:
    return price(price_id, param="id", status=404)


@route("POST", "/v1/prices/{price_id}", PriceUpdateParams)
def update_price(call: Call, price_id: str) -> dict[str, Any]:
    price(price_id, param="id", status=404)
    refuse(call.params, "currency_options")
    key = _claim_lookup_key(call.params, price_id)
    with updating(price_id, "price.updated") as changed:
        apply(changed, call.params, "active", "nickname", "tax_behavior")
        if "lookup_key" in call.params:
            changed["lookup_key"] = key
        apply_metadata(changed, call.params)
    return changed


@included("price", "currency_options")
def _currency_options(source: dict[str, Any]) -> dict[str, Any]:
    return {
        source["currency"]: {
            "custom_unit_amount": None,
            "tax_behavior": source["tax_behavior"],
            "unit_amount": source["unit_amount"],
            "unit_amount_decimal": source["unit_amount_decimal"],
        }
    }
