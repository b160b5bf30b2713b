"""billing/plans and billing/products: the catalog on sale."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from accounts.authentication import ApiRequest
from accounts.roles import Scope
from billing import serializers
from billing.catalog import plans
from billing.models import Product
from superagent.foundation.views import RevalidatedView


@extend_schema(tags=["billing"])
class Plans(RevalidatedView):
    required_scope = None

    @extend_schema(
        operation_id="billing_plans_list",
        summary="List plans",
        description=("The API plans on sale, with prices, allowances and overage rates."),
        responses=serializers.PlansResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        shown = serializers.PlanResponse(plans.on_sale(), many=True, context={"request": request})
        return Response({"data": shown.data, "packs": []})


@extend_schema(tags=["billing"])
class Products(RevalidatedView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_products_list",
        summary="List products",
        description="Licenses and other products that can be ordered.",
        responses=serializers.ProductsResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        rows = plans.of_kind(Product.Kind.LICENSE)
        return Response(
            {"data": serializers.ProductResponse(rows, many=True, context={"request": request}).data}
        )
