"""orders: place one, list, detail."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.requests import user_of
from accounts.authentication import ApiRequest
from accounts.roles import Scope
from billing import serializers
from billing.models import Order
from billing.selling import checkout, orders
from superagent.foundation import clock
from superagent.foundation.idempotency import idempotent
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView, parsed_body


@extend_schema(tags=["orders"])
class Orders(ListView):
    request: ApiRequest
    required_scope = {"GET": Scope.BILLING_READ, "POST": Scope.BILLING_WRITE}
    serializer_class = serializers.OrderResponse
    filterset_fields = {"status": ["exact"], "created_at": ["gte", "lt"]}
    queryset = Order.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return _of(self.request)

    @extend_schema(operation_id="orders_list", summary="List orders")
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="orders_create",
        summary="Place an order",
        description=(
            "Licenses, paid on Stripe's page (`checkout_url`) or with the saved card. A total above "
            "`max_total` is 409 `price_changed`, and nothing is ordered."
        ),
        request=serializers.OrderRequest,
        responses={201: serializers.OrderResponse},
    )
    def post(self, request: ApiRequest) -> Response:
        response = self._place(request)
        order = Order.objects.get(pk=response.data["id"])
        if order.payment == Order.Payment.CHECKOUT and order.status == Order.Status.PENDING:
            checkout.start_order(order=order, now=clock.now(request.organization))
        response.data = serializers.OrderResponse(_of(request).get(pk=order.pk)).data
        return response

    @idempotent
    def _place(self, request: ApiRequest) -> Response:
        """The same Idempotency-Key returns the same order; its payment page is then opened if it was not yet."""
        body = parsed_body(request, serializers.OrderRequest)
        order = orders.place(
            organization=request.organization,
            user=user_of(request),
            items=[orders.Wanted(item["product"], item["options"]) for item in body["items"]],
            max_total=body["max_total"],
            currency=body["currency"],
            payment=body["payment"],
            now=clock.now(request.organization),
        )
        return Response({"id": str(order.pk)}, status.HTTP_201_CREATED)


@extend_schema(tags=["orders"])
class OrderDetail(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(operation_id="orders_get", summary="Get an order", responses=serializers.OrderResponse)
    def get(self, request: ApiRequest, order_id: UUID) -> Response:
        found = _of(request).filter(pk=order_id).first()
        if found is None:
            raise NotFound("No order has this id.")
        return Response(serializers.OrderResponse(found, context={"request": request}).data)


def _of(request: ApiRequest) -> QuerySet[Any]:
    rows = Order.objects.visible_to(request.organization)
    return rows.prefetch_related("items__product", "items__subscription", "checkout_sessions")
