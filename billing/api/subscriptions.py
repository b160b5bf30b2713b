"""subscriptions: of plans and licenses; list, create, cancel, resume."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import ApiRequest
from accounts.roles import Scope
from billing import serializers
from billing.api import checkouts
from billing.models import Subscription
from billing.selling import cancellations
from superagent.foundation import clock
from superagent.foundation.idempotency import idempotent_call
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView


@extend_schema(tags=["subscriptions"])
class Subscriptions(ListView):
    request: ApiRequest
    required_scope = {"GET": Scope.BILLING_READ, "POST": Scope.BILLING_WRITE}
    serializer_class = serializers.SubscriptionResponse
    filterset_fields = {"status": ["exact"], "product__slug": ["exact"], "interval": ["exact"]}
    queryset = Subscription.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return _of(self.request)

    @extend_schema(
        operation_id="subscriptions_list",
        summary="List subscriptions",
        description="Subscriptions to the API plan and to licenses.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="subscriptions_create",
        summary="Subscribe to a plan",
        description=(
            "Returns the URL of Stripe's payment page; the subscription is created when it is paid."
        ),
        request=serializers.CheckoutRequest,
        responses={201: serializers.SubscribeResponse},
    )
    @idempotent_call
    def post(self, request: ApiRequest) -> Response:
        opened = checkouts.open_for_plan(request)
        return Response(serializers.SubscribeResponse(opened).data, status.HTTP_201_CREATED)


@extend_schema(tags=["subscriptions"])
class SubscriptionDetail(ApiView):
    required_scope = {"GET": Scope.BILLING_READ, "DELETE": Scope.BILLING_WRITE}

    @extend_schema(
        operation_id="subscriptions_get",
        summary="Get a subscription",
        responses=serializers.SubscriptionResponse,
    )
    def get(self, request: ApiRequest, subscription_id: UUID) -> Response:
        return _answer(request, _one(request, subscription_id))

    @extend_schema(
        operation_id="subscriptions_cancel",
        summary="Cancel a subscription",
        description="It stays usable until its paid period ends. Returns the subscription.",
        responses={200: serializers.SubscriptionResponse},
    )
    def delete(self, request: ApiRequest, subscription_id: UUID) -> Response:
        found = cancellations.cancel(
            subscription=_one(request, subscription_id), now=clock.now(request.organization)
        )
        return _answer(request, found)


@extend_schema(tags=["subscriptions"])
class SubscriptionResume(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="subscriptions_resume",
        summary="Resume a subscription",
        description="Undoes a cancellation or a change that has not taken effect yet.",
        request=None,
        responses=serializers.SubscriptionResponse,
    )
    @idempotent_call
    def post(self, request: ApiRequest, subscription_id: UUID) -> Response:
        found = _one(request, subscription_id)
        resumed = cancellations.resume(subscription=found, now=clock.now(request.organization))
        return _answer(request, resumed)


def _of(request: ApiRequest) -> QuerySet[Any]:
    rows = Subscription.objects.visible_to(request.organization)
    return rows.select_related(
        "product", "plan__product", "price__plan", "pending_price__product", "organization", "order_item"
    )


def _one(request: ApiRequest, subscription_id: UUID) -> Subscription:
    found: Subscription | None = _of(request).filter(pk=subscription_id).first()
    if found is None:
        raise NotFound("No subscription has this id.")
    return found


def _answer(request: ApiRequest, subscription: Subscription) -> Response:
    return Response(serializers.SubscriptionResponse(subscription, context={"request": request}).data)
