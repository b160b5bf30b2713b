"""billing/invoices and billing/payments."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view

from accounts.authentication import ApiRequest
from accounts.roles import Scope
from billing import serializers
from billing.models import Invoice, Payment
from superagent.foundation.views import DetailView, ListView


@extend_schema_view(
    get=extend_schema(
        tags=["billing"],
        operation_id="billing_invoices_list",
        summary="List invoices",
        description="Invoices with their lines.",
    )
)
class Invoices(ListView):
    request: ApiRequest
    required_scope = Scope.BILLING_READ
    serializer_class = serializers.InvoiceResponse
    filterset_fields = {"status": ["exact"], "created_at": ["gte", "lt"]}
    queryset = Invoice.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return Invoice.objects.visible_to(self.request.organization).prefetch_related("lines")


@extend_schema_view(
    get=extend_schema(tags=["billing"], operation_id="billing_invoices_get", summary="Get an invoice")
)
class InvoiceDetail(DetailView):
    request: ApiRequest
    required_scope = Scope.BILLING_READ
    serializer_class = serializers.InvoiceResponse
    queryset = Invoice.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return Invoice.objects.visible_to(self.request.organization).prefetch_related("lines")


@extend_schema_view(
    get=extend_schema(
        tags=["billing"],
        operation_id="billing_payments_list",
        summary="List payments",
        description="Payments with their refunded amounts.",
    )
)
class Payments(ListView):
    request: ApiRequest
    required_scope = Scope.BILLING_READ
    serializer_class = serializers.PaymentResponse
    filterset_fields = {"status": ["exact"], "created_at": ["gte", "lt"]}
    queryset = Payment.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return Payment.objects.visible_to(self.request.organization)
