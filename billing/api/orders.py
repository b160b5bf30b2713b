"""orders: place one, list, detail."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing import serializers
from billing.api.requests import READ_WRITE, now_of, organization_of, parsed, user_of
from billing.models import Order
from billing.selling import checkout, orders
from billing.selling.idempotency import CREATED
from superagent.foundation import idempotency
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView


@extend_schema(tags=["orders"])
class Orders(ListView):
    required_scope = READ_WRITE
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
    def post(self, request: Request) -> Response:
        order_id, is_replayed = _place(request)
        order = Order.objects.get(pk=order_id)
        if order.payment == Order.Payment.CHECKOUT and order.status == Order.Status.PENDING:
            checkout.start_order(order=order, now=now_of(request))
        placed = _of(request).get(pk=order.pk)
        headers = idempotency.replay_headers(is_replayed=is_replayed)
        return Response(serializers.OrderResponse(placed).data, CREATED, headers=headers)


def _place(request: Request) -> tuple[str, bool]:
    """The order's id, and whether it was placed before.

    The same Idempotency-Key is the same order, whose payment page is then opened if it was not.
    """
    body = parsed(request, serializers.OrderRequest)

    def effect() -> tuple[int, Any]:
        order = orders.place(
            organization=organization_of(request),
            user=user_of(request),
            items=[orders.Wanted(item["product"], item["options"]) for item in body["items"]],
            max_total=body["max_total"],
            currency=body["currency"],
            payment=body["payment"],
            now=now_of(request),
        )
        return CREATED, {"id": str(order.pk)}

    key = idempotency.requested_key(request)
    if key is None:
        answer, is_replayed = effect()[1], False
    else:
        _status, answer, is_replayed = idempotency.once(
            organization_id=organization_of(request).pk,
            caller=idempotency.caller_of(request),
            endpoint="POST orders",
            key=key,
            body=request.data,
            effect=effect,
        )
    return str(answer["id"]), is_replayed


@extend_schema(tags=["orders"])
class OrderDetail(ApiView):
    required_scope = READ_WRITE

    @extend_schema(operation_id="orders_get", summary="Get an order", responses=serializers.OrderResponse)
    def get(self, request: Request, order_id: UUID) -> Response:
        found = _of(request).filter(pk=order_id).first()
        if found is None:
            raise NotFound("There is no such order.")
        return Response(serializers.OrderResponse(found, context={"request": request}).data)


def _of(request: Request) -> QuerySet[Any]:
    rows = Order.objects.visible_to(organization_of(request))
    return rows.prefetch_related("items__product", "items__subscription", "checkout_sessions")
