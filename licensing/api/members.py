"""Licenses as members and their programs read them."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Scope
from licensing import licenses, serializers
from licensing.models import License
from superagent.foundation import clock
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView


class Licenses(ListView):
    """The organization's licenses, newest first."""

    required_scope = Scope.LICENSES_READ
    serializer_class = serializers.LicenseAnswer
    filterset_fields = ["status"]
    queryset = License.objects.none()  # for the schema; get_queryset knows the organization

    def get_queryset(self) -> Any:
        organization = self.request.organization  # type: ignore[attr-defined]  # set by our authentication
        visible = License.objects.visible_to(organization)
        return visible.select_related("policy").prefetch_related("features")

    def get_serializer_context(self) -> dict[str, Any]:
        organization = getattr(self.request, "organization", None)
        return {**super().get_serializer_context(), "now": clock.now(organization)}


class LicenseDetail(ApiView):
    """One license, with its key for those who may manage licenses; that it was shown is audited."""

    required_scope = Scope.LICENSES_READ

    @extend_schema(responses=serializers.LicenseWithKey)
    def get(self, request: Request, license_id: UUID) -> Response:
        organization = request.organization  # type: ignore[attr-defined]  # set by our authentication
        found = License.objects.visible_to(organization).select_related("policy", "organization")
        license_ = found.prefetch_related("features").filter(pk=license_id).first()
        if license_ is None:
            raise NotFound("This organization has no such license.")
        may_see = request.principal.allows(Scope.LICENSES_WRITE)  # type: ignore[attr-defined]  # as above
        key = licenses.reveal(license_=license_, actor=None) if may_see else None
        context = {"request": request, "now": clock.now(organization), "license_key": key}
        return Response(
            serializers.LicenseWithKey(license_, context=context).data, headers={"Cache-Control": "no-store"}
        )
