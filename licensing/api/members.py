"""Licenses for members and API keys."""

from functools import partial
from typing import Any
from uuid import UUID

from django.utils import timezone
from django_filters import CharFilter, ChoiceFilter, UUIDFilter
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.response import Response

from accounts.authentication import ApiRequest
from accounts.models import Organization
from accounts.roles import Scope
from licensing import issued_keys, serializers
from licensing.managers import LicenseQuerySet
from licensing.models import License
from superagent.foundation import clock
from superagent.foundation.filters import FilterSet
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView


class LicenseFilters(FilterSet):
    """Filters by present status, as validation returns it, and by product, subscription and order."""

    status = ChoiceFilter(choices=License.Status.choices, method="filter_status")
    product = CharFilter(field_name="policy__product_slug")
    subscription = UUIDFilter(field_name="order_item__subscription")
    order = UUIDFilter(field_name="order_item__order")
    order_item = UUIDFilter(field_name="order_item")

    def filter_status(self, licenses: LicenseQuerySet, name: str, value: str) -> LicenseQuerySet:
        return licenses.with_status(timezone.now()).filter(status_now=value)


@extend_schema_view(
    get=extend_schema(
        tags=["licenses"],
        operation_id="licenses_list",
        summary="List licenses",
        description="Lists the organization's licenses, newest first, with masked keys.",
    )
)
class Licenses(ListView):
    """The organization's licenses, newest first."""

    request: ApiRequest
    required_scope = Scope.LICENSES_READ
    serializer_class = serializers.LicenseResponse
    filterset_class = LicenseFilters
    queryset = License.objects.none()  # for the schema; get_queryset knows the organization

    def get_queryset(self) -> Any:
        organization = self.request.organization
        return _visible(organization)

    def get_serializer_context(self) -> dict[str, Any]:
        organization = getattr(self.request, "organization", None)
        return {**super().get_serializer_context(), "now": clock.now(organization)}


class LicenseDetail(ApiView):
    """One license, with its key for licenses:write. Reading the key is recorded in the audit trail.

    The key is decrypted only if it is requested: not with `fields=id,status`.
    """

    required_scope = Scope.LICENSES_READ

    @extend_schema(
        tags=["licenses"],
        operation_id="licenses_get",
        summary="Get a license",
        description=(
            "`license_key` requires the scope licenses:write and is null otherwise. Reading it is recorded in the "
            "audit trail; leave it out with `fields=`."
        ),
        responses=serializers.LicenseWithKeyResponse,
    )
    def get(self, request: ApiRequest, license_id: UUID) -> Response:
        organization = request.organization
        license_ = _visible(organization).filter(pk=license_id).first()
        if license_ is None:
            raise NotFound("This organization has no such license.")
        may_see = request.principal.allows(Scope.LICENSES_WRITE)
        shows_key = request.method == "GET" and "license_key" in request.GET.get(
            "fields", "license_key"
        ).split(",")
        context = {
            "request": request,
            "now": clock.now(organization),
            "reveal": partial(issued_keys.reveal, license_=license_, actor=None)
            if may_see and shows_key
            else None,
        }
        return Response(
            serializers.LicenseWithKeyResponse(license_, context=context).data,
            headers={"Cache-Control": "no-store"},
        )


def _visible(organization: Organization) -> LicenseQuerySet:
    licenses = License.objects.visible_to(organization)
    related = licenses.select_related("policy", "organization", "order_item__subscription")
    return related.prefetch_related("features")
