"""The customer portal's API: configurations and sessions. Its page is in `pages.portal`."""

from typing import Any

from stripe.params.billing_portal import (
    ConfigurationCreateParams,
    ConfigurationListParams,
    ConfigurationRetrieveParams,
    ConfigurationUpdateParams,
    SessionCreateParams,
)

from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe import customers, ids, moment, shapes, subscriptions
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches
from superagent.sandbox.stripe.routes import Call, Page, route

KIND = "billing_portal.configuration"
SESSION = "billing_portal.session"
SESSION_HOURS = 1
REASONS = ("too_expensive", "missing_features", "switched_service", "unused", "other")


def features(given: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns complete features; what is not mentioned is off, or as it was."""
    base = old or {
        "customer_update": {"allowed_updates": [], "enabled": False},
        "invoice_history": {"enabled": False},
        "payment_method_update": {"enabled": False, "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": list(REASONS)},
            "enabled": False,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": [],
            "enabled": False,
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }
    result = {}
    for name, value in base.items():
        change = {key: item for key, item in given.get(name, {}).items() if item != ""}
        result[name] = {**value, **change}
    return result


@route("POST", "/v1/billing_portal/configurations", ConfigurationCreateParams)
def create_configuration(call: Call) -> dict[str, Any]:
    params = call.params
    return _configuration(
        features(params["features"]),
        params.get("business_profile") or {},
        is_default=False,
        default_return_url=params.get("default_return_url") or None,
        metadata=params.get("metadata") or {},
        name=params.get("name") or None,
    )


def _configuration(offered: dict[str, Any], profile: dict[str, Any], **values: Any) -> dict[str, Any]:
    now = moment.real()
    names = ("headline", "privacy_policy_url", "terms_of_service_url")
    made = store.add(
        shapes.build(
            KIND,
            id=ids.new("bpc"),
            active=True,
            business_profile={name: profile.get(name) or None for name in names},
            created=now,
            features=offered,
            login_page={"enabled": False, "url": None},
            updated=now,
            **values,
        )
    )
    emit("billing_portal.configuration.created", made)
    return made


def default_configuration() -> dict[str, Any]:
    """Returns the configuration of sessions that name none; it allows everything the page can do."""
    for found in store.each(KIND):
        if found["is_default"]:
            return found
    on = {"enabled": True}
    offered = features(
        {
            "invoice_history": on,
            "payment_method_update": on,
            "subscription_cancel": on,
            "customer_update": {"enabled": True, "allowed_updates": ["email", "name"]},
        }
    )
    return _configuration(offered, {}, is_default=True)


@route("GET", "/v1/billing_portal/configurations", ConfigurationListParams)
def list_configurations(call: Call) -> Page:
    found = [item for item in store.each(KIND) if matches(item, call.params, "active", "is_default")]
    return Page(found, "/v1/billing_portal/configurations")


def configuration(configuration_id: str, *, status: int = 404) -> dict[str, Any]:
    """Returns a configuration that exists."""
    found = store.find(KIND, configuration_id)
    if found is None:
        raise missing("configuration", configuration_id, param="configuration", status=status)
    return found


@route("GET", "/v1/billing_portal/configurations/{configuration_id}", ConfigurationRetrieveParams)
def retrieve_configuration(call: Call, configuration_id: str) -> dict[str, Any]:
    return configuration(configuration_id)


@route("POST", "/v1/billing_portal/configurations/{configuration_id}", ConfigurationUpdateParams)
def update_configuration(call: Call, configuration_id: str) -> dict[str, Any]:
    configuration(configuration_id)
    params = call.params
    with updating(configuration_id, "billing_portal.configuration.updated") as changed:
        apply(changed, params, "active", "default_return_url", "name")
        if "features" in params:
            changed["features"] = features(params["features"], changed["features"])
        for name, value in params.get("business_profile", {}).items():
            changed["business_profile"][name] = value or None
        apply_metadata(changed, params)
        changed["updated"] = moment.real()
    return changed


@route("POST", "/v1/billing_portal/sessions", SessionCreateParams)
def create_session(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, "on_behalf_of")
    customer = customers.get(params.get("customer"))
    chosen = (
        configuration(params["configuration"], status=400)
        if "configuration" in params
        else default_configuration()
    )
    session_id = ids.new("bps")
    return store.add(
        shapes.build(
            SESSION,
            id=session_id,
            configuration=chosen["id"],
            created=moment.real(),
            customer=customer["id"],
            flow=_flow(params.get("flow_data"), customer["id"]),
            locale=params.get("locale"),
            return_url=params.get("return_url") or chosen["default_return_url"],
            url=f"{settings.url}/p/session/{session_id}",
        )
    )


def _flow(given: dict[str, Any] | None, customer_id: str) -> dict[str, Any] | None:
    if not given:
        return None
    kind = given["type"]
    if kind not in ("payment_method_update", "subscription_cancel"):
        raise invalid("The sandbox's portal can change the card and cancel.", param="flow_data[type]")
    target = None
    if kind == "subscription_cancel":
        wanted = given.get("subscription_cancel", {}).get("subscription")
        found = subscriptions.get(wanted, param="flow_data[subscription_cancel][subscription]", status=400)
        if found["customer"] != customer_id:
            raise missing(
                "subscription", str(wanted), param="flow_data[subscription_cancel][subscription]", status=400
            )
        target = {"retention": None, "subscription": wanted}
    after = given.get("after_completion", {})
    redirect = after.get("redirect")
    return {
        "after_completion": {
            "hosted_confirmation": None,
            "redirect": redirect,
            "type": after.get("type", "portal_homepage"),
        },
        "subscription_cancel": target,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": kind,
    }


def is_open(session: dict[str, Any]) -> bool:
    """Returns whether the link may still be used."""
    return bool(session["created"] > moment.real() - SESSION_HOURS * moment.HOUR)
