"""Where Stripe sends its events: registered once, the secret kept. Stripe tells the secret at creation only."""

from django.conf import settings

from billing.models import WebhookEndpoint
from billing.stripe import client, inbox
from superagent.foundation.identifiers import uuid7

PATH = "/stripe/webhook/{id}/"


def register() -> WebhookEndpoint:
    """The endpoint of this installation at Stripe, made or brought up to date. Idempotent. Calls Stripe.

    With STRIPE_WEBHOOK_SECRET (a laptop with `stripe listen`) nothing is registered: only our address is made.
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
    """Is it still at Stripe, with all the types of events that we handle? Those are brought up to date."""
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
    """An endpoint of ours for this address whose secret we do not have (a database that was thrown away) is removed."""
    prefix = settings.PUBLIC_URL + "/stripe/webhook/"
    for found in client.listed("webhook_endpoints.list"):
        if found["url"].startswith(prefix) and (found.get("metadata") or {}).get("made_by") == "superagent":
            client.call("webhook_endpoints.delete", found["id"])
