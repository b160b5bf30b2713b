"""Webhook endpoints are registered once, with their secret."""

from billing.models import WebhookEndpoint
from billing.stripe import client, endpoints
from tests.billing.conftest import Sandbox


def test_the_endpoint_is_registered_once_with_its_secret(shop: Sandbox, system_scope: None) -> None:
    first = endpoints.register()
    assert first.secret.startswith("whsec_") and str(first.pk) in first.url
    assert endpoints.register().pk == first.pk
    client.call("webhook_endpoints.delete", first.stripe_id)
    second = endpoints.register()
    assert second.pk != first.pk and WebhookEndpoint.objects.count() == 1
    client.call("webhook_endpoints.delete", second.stripe_id)
