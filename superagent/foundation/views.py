"""Base views of the API."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from superagent.foundation import contract


class ApiView(APIView):
    """Refuses by name what an operation does not declare, after authentication."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":  # tells nothing that the schema does not tell everyone
            return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        contract.hold(request)


@method_decorator(conditional_page, name="dispatch")
class RevalidatedView(ApiView):
    """For data that is the same for everyone and rarely changes: sends an ETag and answers `If-None-Match` with 304."""

    cache_control = "private, no-cache"

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if answer.status_code == HTTPStatus.OK:
            answer.headers["Cache-Control"] = self.cache_control
        return answer


class ListView(ApiView, generics.ListAPIView):
    """A page of a list."""


class DetailView(ApiView, generics.RetrieveAPIView):
    """A row, by its id."""


def parsed_body(request: Request, serializer: type[Serializer]) -> dict[str, Any]:
    """Returns the valid fields of the body. Raises DRF's ValidationError."""
    return _parsed(serializer(data=request.data))


def parsed_query(request: Request, serializer: type[Serializer]) -> dict[str, Any]:
    """Returns the valid parameters of the query. Raises DRF's ValidationError."""
    return _parsed(serializer(data=request.query_params))


def _parsed(form: Serializer) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    return form.validated_data
