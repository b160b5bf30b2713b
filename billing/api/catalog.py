"""billing/plans and billing/products: what is on sale."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.roles import Scope
from billing import plans, serializers
from billing.models import Product


@extend_schema(tags=["billing"])
class Plans(APIView):
    required_scope = None

    @extend_schema(
        operation_id="billing_plans", summary="API plans on sale", responses=serializers.PlansAnswer
    )
    def get(self, request: Request) -> Response:
        return Response({"data": serializers.PlanAnswer(plans.public(), many=True).data, "packs": []})


@extend_schema(tags=["billing"])
class Products(APIView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_products",
        summary="Licenses and other products on sale",
        responses=serializers.ProductsAnswer,
    )
    def get(self, request: Request) -> Response:
        rows = plans.of_kind(Product.Kind.LICENSE)
        return Response(
            {"data": serializers.ProductAnswer(rows, many=True, context={"request": request}).data}
        )
