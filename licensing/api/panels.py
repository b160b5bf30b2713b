"""The license API for control panels. The license key is the credential; every response is signed, errors included."""

import hashlib
from datetime import datetime
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.audit import client_address
from licensing import activations, keys, serializers, signing, throttles, usage, validation
from licensing.models import License
from licensing.validation import Code, Verdict
from superagent.foundation import idempotency
from superagent.foundation.problems import BodyTooLarge, Invalid
from superagent.foundation.views import ApiView, RevalidatedView, parsed_body


class PanelView(ApiView):
    """Base of endpoints for control panels, which have no API key and are not metered.

    A response repeats the request in `asked`, so that no other response can be passed off as this one.
    """

    authentication_classes: list[type] = []
    permission_classes: list[type[BasePermission]] = []
    max_body_bytes = 16 * 1024
    endpoint = ""

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        self.body_sha256 = _digest_of_body(request)
        self.asked: dict[str, Any] = {}
        self.limits: dict[str, str] = {}
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.body_sha256 is None:
            raise BodyTooLarge.for_view(self)
        super().initial(request, *args, **kwargs)

    def parse(self, request: Request, serializer: type[serializers.PanelRequest]) -> dict[str, Any]:
        """Returns the parsed body, counted against the rate limits. Raises ValidationError and AskedTooOften (429)."""
        self.asked = parsed_body(request, serializer)
        self.limits = throttles.admit(
            license_key=self.asked["license_key"], address=client_address(request._request)
        )
        return self.asked

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, usage.UnknownLicenseKey):
            self.count_unknown()
        return super().handle_exception(exc)

    def count_unknown(self) -> None:
        throttles.count_unknown(address=client_address(self.request._request))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds `asked`, and signs the response, whatever its status."""
        if isinstance(response, Response):
            nonce = self.asked["nonce"] if self.asked else _nonce_of(request)
            answer = signing.signed_answer(response.data or {}, asked=self._echo(), nonce=nonce)
            signed = HttpResponse(
                answer.body,
                status=response.status_code,
                content_type=response.content_type or "application/json",
                headers={signing.HEADER: answer.signature, "Cache-Control": "no-store"} | self.limits,
            )
            for name, value in response.items():
                if name != "Content-Type":  # DRF sets its own when it renders, which it does not here
                    signed[name] = value
            response = signed
        return super().finalize_response(request, response, *args, **kwargs)

    def _echo(self) -> dict[str, Any]:
        asked = self.asked
        return {
            "endpoint": self.endpoint,
            "key_tail": _tail(asked["license_key"]) if asked else None,
            "feature": asked.get("feature"),
            "quantity": asked.get("quantity"),
            "fingerprint": asked.get("fingerprint"),
            "body_sha256": self.body_sha256,
        }


class Validate(PanelView):
    endpoint = "validate"

    @extend_schema(
        tags=["licenses"],
        operation_id="licenses_validate",
        summary="Validate a license",
        description=(
            "Returns whether the license is active and, with `feature`, whether `quantity` more of it is included. "
            "Every well-formed request gets 200: read `valid` and `code`. Compare `asked` with your request and "
            "verify the signature before you trust the response."
        ),
        request=serializers.ValidateRequest,
        responses=serializers.ValidateResponse,
    )
    def post(self, request: Request) -> Response:
        asked = self.parse(request, serializers.ValidateRequest)
        verdict = validation.validate(
            license_key=asked["license_key"],
            feature=asked.get("feature"),
            quantity=asked["quantity"],
            fingerprint=asked.get("fingerprint"),
        )
        if verdict.code == Code.NOT_FOUND:
            self.count_unknown()
        return Response(_answer(verdict))


class Usage(PanelView):
    endpoint = "usage"

    @extend_schema(
        tags=["licenses"],
        operation_id="licenses_usage_report",
        summary="Report usage of a feature",
        description=(
            "Report a change (`delta`) or your own total (`used`). Retries with the same `idempotency_key`, in the "
            "body or as the header Idempotency-Key, are applied once."
        ),
        request=serializers.FeatureUsageRequest,
        responses=serializers.FeatureUsageResponse,
    )
    def post(self, request: Request) -> Response:
        body = self.parse(request, serializers.FeatureUsageRequest)
        key = idempotency.requested_key(request)
        if key is None:
            detail = "Send a unique key for each report, here or in the header Idempotency-Key."
            raise Invalid.field("/idempotency_key", "required", detail)
        balance = usage.apply(
            usage.Report(
                license_key=body["license_key"],
                feature=body["feature"],
                delta=body.get("delta"),
                used=body.get("used"),
                idempotency_key=key,
            )
        )
        return Response(
            {
                "feature": balance.feature,
                "limit": balance.limit,
                "used": balance.used,
                "remaining": balance.remaining,
            }
        )


class Activate(PanelView):
    endpoint = "activate"

    @extend_schema(
        tags=["licenses"],
        operation_id="licenses_activate",
        summary="Activate a server",
        description="Activates a server on the license. Idempotent.",
        request=serializers.ActivateRequest,
        responses=serializers.ActivationResponse,
    )
    def post(self, request: Request) -> Response:
        asked = self.parse(request, serializers.ActivateRequest)
        return _seat(
            activations.activate(
                license_key=asked["license_key"], fingerprint=asked["fingerprint"], label=asked["label"]
            )
        )


class Deactivate(PanelView):
    endpoint = "deactivate"

    @extend_schema(
        tags=["licenses"],
        operation_id="licenses_deactivate",
        summary="Deactivate a server",
        description="Removes the server's activation. Idempotent.",
        request=serializers.ServerRequest,
        responses=serializers.DeactivationResponse,
    )
    def post(self, request: Request) -> Response:
        asked = self.parse(request, serializers.ServerRequest)
        left = activations.deactivate(license_key=asked["license_key"], fingerprint=asked["fingerprint"])
        return Response(
            {"fingerprint": asked["fingerprint"], "activations": left.taken, "max_activations": left.limit}
        )


class Heartbeat(PanelView):
    endpoint = "heartbeat"

    @extend_schema(
        tags=["licenses"],
        operation_id="licenses_heartbeat",
        summary="Send a heartbeat",
        description=(
            "Keeps the server's activation. If the license requires heartbeats, servers that miss them lose their "
            "activation."
        ),
        request=serializers.ServerRequest,
        responses=serializers.ActivationResponse,
    )
    def post(self, request: Request) -> Response:
        asked = self.parse(request, serializers.ServerRequest)
        return _seat(
            activations.heartbeat(license_key=asked["license_key"], fingerprint=asked["fingerprint"])
        )


class PublicKeys(RevalidatedView):
    cache_control = "public, max-age=3600"
    authentication_classes: list[type] = []
    permission_classes: list[type[BasePermission]] = []

    @extend_schema(
        tags=["licenses"],
        operation_id="licenses_public_keys_list",
        summary="List public keys",
        description=(
            "The public keys that verify responses of the license API, the current one first. Fetch them again when "
            "you see an unknown `keyid`."
        ),
        responses=serializers.PublicKeysResponse,
    )
    def get(self, request: Request) -> Response:
        return Response({"data": signing.public_keys()})


def _digest_of_body(request: HttpRequest) -> str | None:
    """Returns the hexadecimal SHA-256 of the raw body; None for a body that is too large."""
    try:
        return hashlib.sha256(request.body).hexdigest()
    except RequestDataTooBig:
        return None


def _nonce_of(request: Request) -> str | None:
    """Returns the nonce of a request that was refused before its fields were validated, to sign the refusal."""
    try:
        nonce = dict(request.data).get("nonce")
    except Exception:  # noqa: BLE001 - the body is no JSON object, which is what is being refused
        return None
    return nonce if isinstance(nonce, str) and serializers.NONCE.fullmatch(nonce) else None


def _tail(license_key: str) -> str | None:
    """Returns the last group of the key; None if it is malformed."""
    try:
        return keys.canonical(license_key)[-keys.GROUP :]
    except keys.InvalidKeyFormat:
        return None


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
        "expires_at": _moment(license_.works_until),
        "suspends_at": _moment(license_.suspends_at),
        "features": {f"max_{row['slug']}": row["limit"] for row in rows},
        "used": {row["slug"]: row["used"] for row in rows},
    }


def _seat(seat: activations.Seat) -> Response:
    activation = seat.activation
    return Response(
        {
            "fingerprint": activation.fingerprint,
            "label": activation.label,
            "activated_at": _moment(activation.activated_at),
            "last_heartbeat_at": _moment(activation.last_heartbeat_at),
            "activations": seat.taken,
            "max_activations": seat.limit,
        }
    )


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
