"""The license API. Panels send the license key as their credential; members read licenses as everywhere else."""

import json
import time
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.audit import client_address
from accounts.roles import Scope
from licensing import activations, licenses, serializers, signing, throttles, usage, validation
from licensing.models import License
from licensing.validation import Code, Verdict
from superagent.foundation import clock
from superagent.foundation.problems import NotFound


class PanelView(APIView):
    """Asked by control panels: no member and no API key, and so not metered."""

    authentication_classes: list[type] = []
    permission_classes: list[type[BasePermission]] = []

    def throttle(self, request: Request, license_key: str) -> None:
        """Raises Throttled (429) when the key or the address asks too often."""
        wait = throttles.wait_seconds(license_key=license_key, address=client_address(request._request) or "")
        if wait:
            raise exceptions.Throttled(wait)

    def parse(self, request: Request, serializer: type[serializers.serializers.Serializer]) -> dict[str, Any]:
        parsed = serializer(data=request.data)
        parsed.is_valid(raise_exception=True)
        return parsed.validated_data


class Validate(PanelView):
    """May this license do this now? Always 200 for a well-formed question; the answer is in `valid` and `code`."""

    @extend_schema(request=serializers.ValidateRequest, responses=serializers.ValidateAnswer)
    def post(self, request: Request) -> HttpResponse:
        asked = self.parse(request, serializers.ValidateRequest)
        address = client_address(request._request) or ""
        wait = throttles.wait_seconds(license_key=asked["license_key"], address=address)
        if wait:
            verdict = Verdict(Code.RATE_LIMITED, f"Too many questions: ask again in {wait} seconds.")
        else:
            verdict = validation.validate(
                license_key=asked["license_key"],
                feature=asked.get("feature"),
                quantity=asked["quantity"],
                fingerprint=asked.get("fingerprint"),
            )
        if verdict.code == Code.NOT_FOUND:
            throttles.count_unknown(address=address)
        return _signed(verdict, asked.get("nonce"), {"Retry-After": str(wait)} if wait else {})


def _signed(verdict: Verdict, nonce: str | None, headers: dict[str, str]) -> HttpResponse:
    """The answer, signed as it is sent; `ts` is real time, for a signature does not rehearse."""
    ts = int(time.time())
    answer = _answer(verdict) | {"nonce": nonce, "ts": ts}
    body = json.dumps(answer, separators=(",", ":")).encode()
    signature = signing.signature(body=body, nonce=nonce or "", ts=ts)
    return HttpResponse(
        body,
        content_type="application/json",
        headers={signing.HEADER: signature, "Cache-Control": "no-store"} | headers,
    )


def _answer(verdict: Verdict) -> dict[str, Any]:
    feature, license_ = verdict.feature, verdict.license
    return {
        "valid": verdict.is_valid,
        "code": verdict.code.value,
        "detail": verdict.detail,
        "feature": feature["slug"] if feature else None,
        "limit": feature["limit"] if feature else None,
        "used": feature["used"] if feature else None,
        "remaining": verdict.remaining,
        "license": _license_part(license_, verdict.status) if license_ else None,
    }


def _license_part(license_: License, status: License.Status | None) -> dict[str, Any]:
    rows = validation.feature_rows(license_)
    return {
        "id": str(license_.pk),
        "status": status.value if status else license_.status,
        "plan": license_.policy.product_slug,
        "expires_at": license_.expires_at.isoformat().replace("+00:00", "Z") if license_.expires_at else None,
        "features": {f"max_{row['slug']}": row["limit"] for row in rows},
        "used": {row["slug"]: row["used"] for row in rows},
    }


class Usage(PanelView):
    """Report what is used of a feature; safe to send again under the same `idempotency_key`."""

    @extend_schema(request=serializers.FeatureUsageRequest, responses=serializers.FeatureUsageAnswer)
    def post(self, request: Request) -> Response:
        told = self.parse(request, serializers.FeatureUsageRequest)
        self.throttle(request, told["license_key"])
        standing = usage.report(
            usage.Report(
                license_key=told["license_key"],
                feature=told["feature"],
                delta=told.get("delta"),
                used=told.get("used"),
                idempotency_key=told["idempotency_key"],
            )
        )
        return Response(serializers.FeatureUsageAnswer(standing).data)


class Activate(PanelView):
    """Let a server run on the license; repeatable."""

    @extend_schema(request=serializers.ActivateRequest, responses=serializers.ActivationAnswer)
    def post(self, request: Request) -> Response:
        asked = self.parse(request, serializers.ActivateRequest)
        self.throttle(request, asked["license_key"])
        return _seat(activations.activate(**asked))


class Deactivate(PanelView):
    """Free a server's activation; repeatable."""

    @extend_schema(request=serializers.ServerRequest, responses={204: None})
    def post(self, request: Request) -> Response:
        asked = self.parse(request, serializers.ServerRequest)
        self.throttle(request, asked["license_key"])
        activations.deactivate(**asked)
        return Response(status=204)


class Heartbeat(PanelView):
    """The server is alive; a policy with a heartbeat forgets servers that are silent."""

    @extend_schema(request=serializers.ServerRequest, responses=serializers.ActivationAnswer)
    def post(self, request: Request) -> Response:
        asked = self.parse(request, serializers.ServerRequest)
        self.throttle(request, asked["license_key"])
        return _seat(activations.heartbeat(**asked))


def _seat(seat: activations.Seat) -> Response:
    return Response(
        serializers.ActivationAnswer(
            {
                "fingerprint": seat.activation.fingerprint,
                "label": seat.activation.label,
                "activated_at": seat.activation.activated_at,
                "last_heartbeat_at": seat.activation.last_heartbeat_at,
                "activations": seat.taken,
                "max_activations": seat.limit,
            }
        ).data
    )


class PublicKeys(PanelView):
    """The keys that vouch for answers of `licenses/validate`, the signing one first."""

    @extend_schema(responses=serializers.PublicKeys)
    def get(self, request: Request) -> Response:
        return Response({"data": signing.public_keys()}, headers={"Cache-Control": "public, max-age=3600"})


class Licenses(ListAPIView):
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


class LicenseDetail(APIView):
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
