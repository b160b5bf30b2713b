"""The views that every operation of the API is made of."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.views import APIView

from superagent.foundation import contract


class ApiView(APIView):
    """What an operation does not declare is refused by name, once it is known who asks."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":  # tells nothing that the schema does not tell everyone
            return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        contract.hold(request)


class ListView(ApiView, generics.ListAPIView):
    """A page of a list."""


class DetailView(ApiView, generics.RetrieveAPIView):
    """One row, by its id."""
