"""The webhook endpoint: verify, store, acknowledge. Does no work and does not call Stripe."""

from uuid import UUID

import structlog
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.models import WebhookEndpoint
from billing.stripe import inbox
from superagent.foundation import tenancy

log = structlog.get_logger(__name__)


@require_POST
@csrf_exempt
@login_not_required
@transaction.non_atomic_requests
def stripe_webhook(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Returns 200 once the delivery is stored, 400 if Stripe did not send it, 404 for an unknown endpoint."""
    with tenancy.system("Stripe reports for all organizations"):
        endpoint = WebhookEndpoint.objects.filter(pk=endpoint_id, is_active=True).first()
        if endpoint is None:
            return JsonResponse({"error": "No webhook endpoint has this id."}, status=404)
        try:
            partition_key = inbox.receive(
                endpoint=endpoint, payload=request.body, signature=request.headers.get("Stripe-Signature", "")
            )
        except inbox.InvalidDelivery as error:
            log.warning("webhook_refused", reason=str(error))
            return JsonResponse({"error": str(error)}, status=400)
    if partition_key:
        inbox.nudge(partition_key)
    return JsonResponse({"received": True})
