"""Webhook endpoints: registered once, with their secret, which Stripe returns only at creation."""

from django.conf import settings

from billing.models import WebhookEndpoint
from billing.stripe import client, inbox
from superagent.foundation.identifiers import uuid7

PATH = "/stripe/webhook/{id}/"


def register() -> WebhookEndpoint:
    """Create or update this installation's endpoint at Stripe. Idempotent. Calls Stripe.

    With STRIPE_WEBHOOK_SECRET (a laptop with `stripe listen`) nothing is registered at Stripe, only our row is made.
    """
    known = WebhookEndpoint.objects.filter(url__startswith=settings.PUBLIC_URL + "/", is_active=True).first()
    if known is not None and (settings.STRIPE_WEBHOOK_SECRET or _is_alive(known)):
        return known
    if known is not None:
        known.delete()
    endpoint_id = uuid7()
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        url=settings.PUBLIC_URL + PATH.format(id=endpoint_id),
        api_version=client.API_VERSION,
        livemode=settings.STRIPE_LIVE_MODE,
    )
    if not settings.STRIPE_WEBHOOK_SECRET:
        _forget_former()
        made = client.call(
            "webhook_endpoints.create",
            key=f"endpoint:{endpoint_id}",
            params={
                "url": endpoint.url,
                "enabled_events": sorted(inbox.HANDLERS),
                "api_version": client.API_VERSION,
                "description": "SuperAgent",
                "metadata": {"made_by": "superagent"},
            },
        )
        endpoint.stripe_id, endpoint.secret = made["id"], made["secret"]
    endpoint.save(force_insert=True)
    return endpoint


def _is_alive(endpoint: WebhookEndpoint) -> bool:
    """Returns True if it still exists at Stripe; updates its event types to those that we handle."""
    if not endpoint.stripe_id:
        return False
    try:
        found = client.call("webhook_endpoints.retrieve", endpoint.stripe_id)
    except client.StripeObjectMissing:
        return False
    wanted = sorted(inbox.HANDLERS)
    if sorted(found["enabled_events"]) != wanted or found["status"] != "enabled":
        client.call(
            "webhook_endpoints.update",
            endpoint.stripe_id,
            params={"enabled_events": wanted, "disabled": False},
        )
    return True


def _forget_former() -> None:
    """Delete an endpoint for this URL whose secret we do not have (the database was recreated)."""
    prefix = settings.PUBLIC_URL + "/stripe/webhook/"
    for found in client.listed("webhook_endpoints.list"):
        if found["url"].startswith(prefix) and (found.get("metadata") or {}).get("made_by") == "superagent":
            client.call("webhook_endpoints.delete", found["id"])
