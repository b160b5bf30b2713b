"""Webhook endpoints; the secret is returned only at creation."""

from typing import Any

from stripe.params import (
    WebhookEndpointCreateParams,
    WebhookEndpointDeleteParams,
    WebhookEndpointListParams,
    WebhookEndpointRetrieveParams,
    WebhookEndpointUpdateParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import API_VERSION, ids, moment, shapes
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.paging import apply, apply_metadata
from superagent.sandbox.stripe.routes import Call, Page, route


def get(endpoint_id: str) -> dict[str, Any]:
    """Returns an endpoint that exists."""
    endpoint = store.find("webhook_endpoint", endpoint_id)
    if endpoint is None:
        raise missing("webhook endpoint", endpoint_id)
    return endpoint


def _check_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise invalid(
            "Invalid URL: An explicit scheme (such as https) must be provided.",
            param="url",
            code="url_invalid",
        )
    return url


@route("POST", "/v1/webhook_endpoints", WebhookEndpointCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, "connect")
    if not params["enabled_events"]:
        raise invalid("You must enable at least one event.", param="enabled_events")
    if params.get("api_version", API_VERSION) != API_VERSION:
        raise invalid(f"The sandbox speaks {API_VERSION} only.", param="api_version")
    secret = ids.new("whsec")
    endpoint = store.add(
        shapes.build(
            "webhook_endpoint",
            id=ids.new("we"),
            api_version=params.get("api_version"),
            created=moment.real(),
            description=params.get("description") or None,
            enabled_events=list(params["enabled_events"]),
            metadata=params.get("metadata") or {},
            status="enabled",
            url=_check_url(params["url"]),
            _secret=secret,
        )
    )
    return {**endpoint, "secret": secret}


@route("GET", "/v1/webhook_endpoints", WebhookEndpointListParams)
def list_endpoints(call: Call) -> Page:
    return Page(list(store.each("webhook_endpoint")), "/v1/webhook_endpoints")


@route("GET", "/v1/webhook_endpoints/{endpoint_id}", WebhookEndpointRetrieveParams)
def retrieve(call: Call, endpoint_id: str) -> dict[str, Any]:
    return get(endpoint_id)


@route("POST", "/v1/webhook_endpoints/{endpoint_id}", WebhookEndpointUpdateParams)
def update(call: Call, endpoint_id: str) -> dict[str, Any]:
    get(endpoint_id)
    params = call.params
    endpoint = store.edit(endpoint_id)
    if "url" in params:
        endpoint["url"] = _check_url(params["url"])
    apply(endpoint, params, "description", "enabled_events")
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    apply_metadata(endpoint, params)
    return endpoint


@route("DELETE", "/v1/webhook_endpoints/{endpoint_id}", WebhookEndpointDeleteParams)
def delete(call: Call, endpoint_id: str) -> dict[str, Any]:
    get(endpoint_id)
    store.remove(endpoint_id)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}
