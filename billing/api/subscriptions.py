"""subscriptions: of plans and licenses; create, and DELETE, which ends one with its period."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Scope
from billing import serializers
from billing.api.requests import READ_WRITE, now_of, organization_of, parsed, user_of
from billing.models import Subscription
from billing.selling import cancellations, checkout
from billing.selling.idempotency import CREATED, OK, call_once
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView


@extend_schema(tags=["subscriptions"])
class Subscriptions(ListView):
    required_scope = READ_WRITE
    serializer_class = serializers.SubscriptionResponse
    filterset_fields = {"status": ["exact"], "product__slug": ["exact"], "interval": ["exact"]}
    queryset = Subscription.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return _of(self.request)

    @extend_schema(
        operation_id="subscriptions_list",
        summary="List subscriptions",
        description="Of the API plan and of licenses.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="subscriptions_create",
        summary="Subscribe to a plan",
        description=(
            "Answers with the address of Stripe's payment page; the subscription follows when it is paid."
        ),
        request=serializers.CheckoutRequest,
        responses={201: serializers.CheckoutResponse},
    )
    def post(self, request: Request) -> Response:
        body = parsed(request, serializers.CheckoutRequest)

        def call(asked_at: datetime) -> tuple[int, Any]:
            started = checkout.start_plan(
                organization=organization_of(request),
                user=user_of(request),
                plan=body["plan"],
                interval=body["interval"],
                promotion_code=body["promotion_code"],
                now=now_of(request),
            )
            return CREATED, {
                "status": "pending",
                "plan": body["plan"],
                "interval": body["interval"],
                "session_id": started.session_id,
                "url": started.url,
            }

        return call_once(request, "POST subscriptions", call)


@extend_schema(tags=["subscriptions"])
class SubscriptionDetail(ApiView):
    required_scope = READ_WRITE

    @extend_schema(
        operation_id="subscriptions_get",
        summary="Get a subscription",
        responses=serializers.SubscriptionResponse,
    )
    def get(self, request: Request, subscription_id: UUID) -> Response:
        return _answer(request, _one(request, subscription_id))

    @extend_schema(
        operation_id="subscriptions_cancel",
        summary="Cancel a subscription",
        description="It ends with its paid period; until then it can be used. Answers with the subscription.",
        responses={200: serializers.SubscriptionResponse},
    )
    def delete(self, request: Request, subscription_id: UUID) -> Response:
        found = cancellations.cancel(subscription=_one(request, subscription_id), now=now_of(request))
        return _answer(request, found)


@extend_schema(tags=["subscriptions"])
class SubscriptionResume(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="subscriptions_resume",
        summary="Resume a subscription",
        description="Takes back a cancellation, or a change, that has not come into force.",
        request=None,
        responses=serializers.SubscriptionResponse,
    )
    def post(self, request: Request, subscription_id: UUID) -> Response:
        found = _one(request, subscription_id)

        def call(asked_at: datetime) -> tuple[int, Any]:
            resumed = cancellations.resume(subscription=found, now=now_of(request))
            return OK, _answer(request, resumed).data

        return call_once(request, f"POST subscriptions/{subscription_id}/resume", call)


def _of(request: Request) -> QuerySet[Any]:
    rows = Subscription.objects.visible_to(organization_of(request))
    return rows.select_related(
        "product", "plan__product", "price__plan", "pending_price__product", "organization", "order_item"
    )


def _one(request: Request, subscription_id: UUID) -> Subscription:
    found: Subscription | None = _of(request).filter(pk=subscription_id).first()
    if found is None:
        raise NotFound("There is no such subscription.")
    return found


def _answer(request: Request, subscription: Subscription) -> Response:
    return Response(serializers.SubscriptionResponse(subscription, context={"request": request}).data)
