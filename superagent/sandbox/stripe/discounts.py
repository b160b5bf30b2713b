"""Coupons, promotion codes, and the discounts made from them."""

from typing import Any

from stripe.params import (
    CouponCreateParams,
    CouponDeleteParams,
    CouponListParams,
    CouponRetrieveParams,
    CouponUpdateParams,
    PromotionCodeCreateParams,
    PromotionCodeListParams,
    PromotionCodeRetrieveParams,
    PromotionCodeUpdateParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import customers, ids, moment, shapes
from superagent.sandbox.stripe.errors import StripeError, invalid, missing, refuse
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.render import included
from superagent.sandbox.stripe.routes import Call, Page, route


def coupon(coupon_id: str | None, *, param: str = "coupon", status: int = 400) -> dict[str, Any]:
    """Returns a coupon that exists."""
    found = store.find("coupon", coupon_id)
    if found is None:
        raise missing("coupon", str(coupon_id), param=param, status=status)
    return found


def promotion(
    promotion_id: str | None, *, param: str = "promotion_code", status: int = 400
) -> dict[str, Any]:
    """Returns a promotion code that exists."""
    found = store.find("promotion_code", promotion_id)
    if found is None:
        raise missing("promotion code", str(promotion_id), param=param, status=status)
    return found


def by_code(code: str, customer_id: str | None, amount: int, currency: str) -> dict[str, Any]:
    """Returns the promotion code that a customer typed, if they may use it."""
    for found in store.each("promotion_code"):
        if found["code"].lower() == code.strip().lower() and _is_usable(found, customer_id):
            limits = found["restrictions"]
            if limits["minimum_amount"] and amount < limits["minimum_amount"]:
                raise StripeError("This order is below the minimum amount of that code.")
            coupon_currency = coupon(found["promotion"]["coupon"])["currency"]
            if coupon_currency not in (None, currency):
                raise StripeError("This code is for another currency.")
            return found
    raise StripeError("This promotion code is invalid or has expired.")


def _is_usable(found: dict[str, Any], customer_id: str | None) -> bool:
    source = coupon(found["promotion"]["coupon"])
    if not found["active"] or not source["valid"] or (found["customer"] and found["customer"] != customer_id):
        return False
    if found["expires_at"] and found["expires_at"] <= moment.now(customer_id):
        return False
    if found["max_redemptions"] and found["times_redeemed"] >= found["max_redemptions"]:
        return False
    if found["restrictions"]["first_time_transaction"] and customer_id:
        return not any(i["customer"] == customer_id and i["status"] == "paid" for i in store.each("invoice"))
    return True


def redeem(given: list[dict[str, Any]] | str | None, *, customer_id: str | None, **owner: Any) -> list[str]:
    """Turn `discounts` parameters into discounts of an owner (subscription, invoice …) and return their ids."""
    made = []
    for index, item in enumerate(given if isinstance(given, list) else []):
        place = f"discounts[{index}]"
        if "discount" in item:
            made.append(item["discount"])
            continue
        code_id = item.get("promotion_code")
        if code_id:
            code = promotion(code_id, param=f"{place}[promotion_code]")
            if not _is_usable(code, customer_id):
                raise invalid("This promotion code cannot be redeemed.", param=f"{place}[promotion_code]")
            source = coupon(code["promotion"]["coupon"])
        else:
            source = coupon(item.get("coupon"), param=f"{place}[coupon]")
        if not source["valid"]:
            message = f"Coupon expired: {source['id']}"
            raise StripeError(message, code="coupon_expired", param=f"{place}[coupon]")
        made.append(_discount(source, code_id, customer_id, owner)["id"])
    return made


def _discount(
    source: dict[str, Any], code_id: str | None, customer_id: str | None, owner: dict[str, Any]
) -> dict[str, Any]:
    start = moment.now(customer_id)
    end = None
    if source["duration"] == "repeating":
        end = moment.add(start, "month", source["duration_in_months"])
    used = store.edit(source["id"])
    used["times_redeemed"] += 1
    if used["max_redemptions"] and used["times_redeemed"] >= used["max_redemptions"]:
        used["valid"] = False
    if code_id:
        store.edit(code_id)["times_redeemed"] += 1
    discount = store.add(
        shapes.build(
            "discount",
            id=ids.new("di"),
            customer=customer_id,
            end=end,
            promotion_code=code_id,
            source={"coupon": source["id"], "type": "coupon"},
            start=start,
            **owner,
        )
    )
    if customer_id:
        emit("customer.discount.created", discount)
    return discount


def still_valid(discount_ids: list[str], now: int) -> list[str]:
    """Returns those discounts that have not ended."""
    found = [store.get(discount_id) for discount_id in discount_ids]
    return [item["id"] for item in found if item and (item["end"] is None or item["end"] > now)]


def is_once(discount_id: str) -> bool:
    """Returns whether the discount applies to one invoice only."""
    discount = store.get(discount_id)
    return discount is not None and bool(coupon(discount["source"]["coupon"])["duration"] == "once")


def amount_off(discount_id: str, amount: int) -> int:
    """Returns by how much a discount lowers `amount`, never below zero."""
    discount = store.get(discount_id)
    if discount is None or amount <= 0:
        return 0
    return coupon_off(coupon(discount["source"]["coupon"]), amount)


def coupon_off(source: dict[str, Any], amount: int) -> int:
    """Returns by how much a coupon lowers `amount`, never below zero."""
    if source["percent_off"] is not None:
        return min(amount, int(amount * source["percent_off"] / 100 + 0.5))
    return min(amount, source["amount_off"] or 0)


def applies_to(discount_id: str, product_id: str | None) -> bool:
    """Returns whether the coupon is for this product."""
    discount = store.get(discount_id)
    source = store.get(discount["source"]["coupon"]) if discount else None
    limits = (source or {}).get("_products")
    return not limits or product_id in limits


# Coupons


@route("POST", "/v1/coupons", CouponCreateParams)
def create_coupon(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, "currency_options")
    if ("percent_off" in params) == ("amount_off" in params):
        raise invalid("You must provide exactly one of `percent_off` or `amount_off`.", param="percent_off")
    if "amount_off" in params and "currency" not in params:
        raise invalid("You must pass currency when passing amount_off", param="currency")
    duration = params.get("duration", "once")
    if (duration == "repeating") != ("duration_in_months" in params):
        raise invalid("`duration_in_months` goes with `duration=repeating`.", param="duration_in_months")
    if store.get(params.get("id")):
        raise invalid("Coupon already exists.", param="id", code="resource_already_exists")
    names = (
        "amount_off",
        "currency",
        "duration_in_months",
        "max_redemptions",
        "name",
        "percent_off",
        "redeem_by",
    )
    made = store.add(
        shapes.build(
            "coupon",
            id=params.get("id") or ids.promotion_code(),
            created=moment.real(),
            duration=duration,
            times_redeemed=0,
            valid=True,
            metadata=params.get("metadata") or {},
            _products=params.get("applies_to", {}).get("products", []),
            **{name: params[name] for name in names if name in params},
        )
    )
    emit("coupon.created", made)
    return made


@route("GET", "/v1/coupons", CouponListParams)
def list_coupons(call: Call) -> Page:
    return Page([item for item in store.each("coupon") if matches_created(item, call.params)], "/v1/coupons")


@route("GET", "/v1/coupons/{coupon_id}", CouponRetrieveParams)
def retrieve_coupon(call: Call, coupon_id: str) -> dict[str, Any]:
    return coupon(coupon_id, status=404)


@route("POST", "/v1/coupons/{coupon_id}", CouponUpdateParams)
def update_coupon(call: Call, coupon_id: str) -> dict[str, Any]:
    coupon(coupon_id, status=404)
    with updating(coupon_id, "coupon.updated") as changed:
        apply(changed, call.params, "name")
        apply_metadata(changed, call.params)
    return changed


@route("DELETE", "/v1/coupons/{coupon_id}", CouponDeleteParams)
def delete_coupon(call: Call, coupon_id: str) -> dict[str, Any]:
    gone = store.edit(coupon(coupon_id, status=404)["id"])
    gone["valid"] = False
    emit("coupon.deleted", gone)
    return {"id": coupon_id, "object": "coupon", "deleted": True}


@included("coupon", "applies_to")
def _applies_to(shown: dict[str, Any]) -> dict[str, Any] | None:
    products = (store.get(shown["id"]) or {}).get("_products")
    return {"products": products} if products else None


# Promotion codes


@route("POST", "/v1/promotion_codes", PromotionCodeCreateParams)
def create_promotion_code(call: Call) -> dict[str, Any]:
    params = call.params
    source = coupon(params["promotion"].get("coupon"), param="promotion[coupon]")
    code = params.get("code") or ids.promotion_code()
    if any(item["active"] and item["code"].lower() == code.lower() for item in store.each("promotion_code")):
        raise invalid("An active promotion code with this code already exists.", param="code")
    if "customer" in params:
        customers.get(params["customer"])
    limits = params.get("restrictions", {})
    names = ("customer", "expires_at", "max_redemptions")
    made = store.add(
        shapes.build(
            "promotion_code",
            id=ids.new("promo"),
            active=params.get("active", True),
            code=code,
            created=moment.real(),
            times_redeemed=0,
            promotion={"coupon": source["id"], "type": "coupon"},
            metadata=params.get("metadata") or {},
            restrictions={
                "first_time_transaction": limits.get("first_time_transaction", False),
                "minimum_amount": limits.get("minimum_amount"),
                "minimum_amount_currency": limits.get("minimum_amount_currency"),
            },
            **{name: params[name] for name in names if name in params},
        )
    )
    emit("promotion_code.created", made)
    return made


@route("GET", "/v1/promotion_codes", PromotionCodeListParams)
def list_promotion_codes(call: Call) -> Page:
    params = call.params
    found = [
        item
        for item in store.each("promotion_code")
        if matches(item, params, "active", "code", "customer")
        and matches_created(item, params)
        and params.get("coupon") in (None, item["promotion"]["coupon"])
    ]
    return Page(found, "/v1/promotion_codes")


@route("GET", "/v1/promotion_codes/{promotion_id}", PromotionCodeRetrieveParams)
def retrieve_promotion_code(call: Call, promotion_id: str) -> dict[str, Any]:
    return promotion(promotion_id, status=404)


@route("POST", "/v1/promotion_codes/{promotion_id}", PromotionCodeUpdateParams)
def update_promotion_code(call: Call, promotion_id: str) -> dict[str, Any]:
    promotion(promotion_id, status=404)
    refuse(call.params, "restrictions")
    with updating(promotion_id, "promotion_code.updated") as changed:
        apply(changed, call.params, "active")
        apply_metadata(changed, call.params)
    return changed
