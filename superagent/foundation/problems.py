"""Refusals, and how the API returns them: RFC 9457 `application/problem+json`.

A domain function that refuses raises its own subclass of `Refusal`, defined beside it. The API's exception handler
turns it into a problem document; portal views show its `detail` beside the form.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Self

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

CONTENT_TYPE = "application/problem+json"
MOST_IN_DETAIL = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid field: a JSON pointer into the body (RFC 6901), a stable code and a sentence with the remedy."""

    pointer: str
    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.pointer.lstrip('/') or 'body'}: {self.detail}"


class Refusal(Exception):
    """A rule was violated. Subclasses name the rule: `status` (HTTP), `code` (stable, snake_case), `title`.

    A class whose instances have one of several codes lists them in `codes`, with their titles, for the page of all
    problems.
    """

    status: int = HTTPStatus.CONFLICT
    code: str = "conflict"
    title: str = "The request conflicts with the present state"
    codes: Mapping[str, str] = {}

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.facts = facts


class NotFound(Refusal):
    status = HTTPStatus.NOT_FOUND
    code = "not_found"
    title = "There is no such object"


class Invalid(Refusal):
    status = HTTPStatus.BAD_REQUEST
    code = "invalid"
    title = "Some fields are invalid"

    @classmethod
    def field(cls, pointer: str, code: str, detail: str, **facts: Any) -> Self:
        """Returns a refusal of one field; the first three arguments are those of FieldError."""
        return cls.fields([FieldError(pointer, code, detail)], **facts)

    @classmethod
    def fields(cls, errors: Sequence[FieldError], **facts: Any) -> Self:
        """Returns a refusal of several fields; `detail` names the first few."""
        return cls("; ".join(map(str, errors[:MOST_IN_DETAIL])), errors=errors, **facts)


MAX_BODY_BYTES = 1024 * 1024


def body_limit(view: Any) -> int:
    """Returns how many bytes a body that `view` takes may have: `max_body_bytes`, if it says so."""
    return getattr(view, "max_body_bytes", MAX_BODY_BYTES)


class BodyTooLarge(Refusal):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"
    title = "The body is too large"

    @classmethod
    def for_view(cls, view: Any) -> Self:
        return cls(f"Send at most {body_limit(view):,} bytes, uncompressed.")


class Forbidden(Refusal):
    status = HTTPStatus.FORBIDDEN
    code = "forbidden"
    title = "This is not allowed"


class Failed(Refusal):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal_error"
    title = "Something went wrong on our side"

    def __init__(self) -> None:
        super().__init__("It has been reported. Tell us the request id if you write to us.")


class TemporarilyUnavailable(Refusal):
    """The database cannot be reached, or aborted a statement that may succeed next time (a deadlock)."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "temporarily_unavailable"
    title = "We cannot answer at the moment"

    def __init__(self) -> None:
        super().__init__("Nothing was changed. Try again in a few seconds.", headers={"Retry-After": "5"})


def failure_of(exception: BaseException | None) -> Failed | TemporarilyUnavailable:
    """Returns the response to a request that ended with an unexpected exception."""
    return TemporarilyUnavailable() if isinstance(exception, OperationalError | InterfaceError) else Failed()


def type_uri(code: str) -> str:
    return f"{settings.PUBLIC_URL}/docs/problems#{code}"


def document(
    *, status: int, code: str, title: str, detail: str, request_id: str, errors: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """Returns the members of a problem document, in RFC 9457's order, then ours."""
    body: dict[str, Any] = {
        "type": type_uri(code),
        "title": title,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if errors:
        body["errors"] = [asdict(error) for error in errors]
    return body


def json_response(request: HttpRequest, refusal: Refusal) -> JsonResponse:
    """Returns a problem document outside DRF: middleware, streams, Django's own 404 under /api/."""
    body = document(
        status=refusal.status,
        code=refusal.code,
        title=refusal.title,
        detail=refusal.detail,
        request_id=getattr(request, "request_id", ""),
        errors=refusal.errors,
    )
    return JsonResponse(
        body | refusal.facts, status=refusal.status, content_type=CONTENT_TYPE, headers=refusal.headers
    )


def exception_handler(exception: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER: every error becomes a problem document, unexpected ones and under DEBUG, too."""
    request = context["request"]
    request_id = getattr(request, "request_id", "")
    if isinstance(exception, exceptions.APIException):
        return _from_rest_framework(exception, request_id)
    refusal = _refusal_of(exception, context.get("view"))
    if isinstance(refusal, Failed | TemporarilyUnavailable):
        log.error("request_failed", path=request.path, exc_info=exception)
        got_request_exception.send(
            sender=None, request=request._request
        )  # for error reports, and Django's test client
    body = document(
        status=refusal.status,
        code=refusal.code,
        title=refusal.title,
        detail=refusal.detail,
        request_id=request_id,
        errors=refusal.errors,
    )
    return Response(body | refusal.facts, refusal.status, headers=refusal.headers, content_type=CONTENT_TYPE)


def _refusal_of(exception: Exception, view: Any) -> Refusal:
    if isinstance(exception, Refusal):
        return exception
    if isinstance(exception, Http404):
        return NotFound()
    if isinstance(exception, PermissionDenied):
        return Forbidden()
    if isinstance(exception, RequestDataTooBig):  # longer than any view accepts
        return BodyTooLarge.for_view(view)
    if isinstance(exception, SuspiciousOperation):  # for example more parameters than Django accepts
        return Invalid(
            "The request could not be read.", errors=[FieldError("", "unreadable", str(exception))]
        )
    return failure_of(exception)


def _from_rest_framework(exception: exceptions.APIException, request_id: str) -> Response:
    headers: dict[str, str] = {}
    if challenge := getattr(exception, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(exception, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    errors: list[FieldError] = []
    if isinstance(exception, exceptions.ValidationError):
        errors = list(_field_errors(exception.detail, ""))
        code, title, detail = Invalid.code, Invalid.title, Invalid.fields(errors).detail
    else:
        code = (
            str(exception.get_codes())
            if not isinstance(exception.get_codes(), dict)
            else exception.default_code
        )
        title = HTTPStatus(exception.status_code).phrase
        detail = _sentence(exception.detail)
    body = document(
        status=exception.status_code,
        code=code,
        title=title,
        detail=detail,
        request_id=request_id,
        errors=errors,
    )
    return Response(body, exception.status_code, headers=headers, content_type=CONTENT_TYPE)


def _sentence(detail: Any) -> str:
    if isinstance(detail, Mapping):
        return str(detail.get("detail", next(iter(detail.values()), "")))
    if isinstance(detail, (list, tuple)):
        return " ".join(str(item) for item in detail)
    return str(detail)


def _field_errors(detail: Any, pointer: str) -> Iterator[FieldError]:
    """Returns DRF's nested error detail, flattened to JSON pointers."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            own = name == "non_field_errors"
            yield from _field_errors(inner, pointer if own else f"{pointer}{pointer_to(name)}")
    elif isinstance(detail, (list, tuple)):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, (Mapping, list, tuple))
            yield from _field_errors(inner, f"{pointer}/{index}" if nested else pointer)
    else:
        yield FieldError(pointer, getattr(detail, "code", None) or "invalid", str(detail))


def pointer_to(*path: str | int) -> str:
    """Returns a JSON pointer (RFC 6901): `/items/0/product`; empty for the whole body."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
