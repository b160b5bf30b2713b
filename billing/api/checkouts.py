"""Opening the payment page of a plan, for the two endpoints that do it."""

from accounts.api.requests import user_of
from accounts.authentication import ApiRequest
from billing import serializers
from billing.selling import checkout
from superagent.foundation import clock
from superagent.foundation.views import parsed_body


def open_for_plan(request: ApiRequest) -> dict[str, str]:
    """Open a checkout for the `CheckoutRequest` in the body. Returns a `SubscribeResponse`."""
    body = parsed_body(request, serializers.CheckoutRequest)
    started = checkout.start_plan(
        organization=request.organization,
        user=user_of(request),
        plan=body["plan"],
        interval=body["interval"],
        promotion_code=body["promotion_code"],
        now=clock.now(request.organization),
    )
    return {
        "status": "pending",
        "plan": body["plan"],
        "interval": body["interval"],
        "session_id": started.session_id,
        "url": started.url,
    }
