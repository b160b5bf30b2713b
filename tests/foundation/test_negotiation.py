"""The API answers in JSON, and 406 to whoever does not accept it."""

import pytest
from rest_framework.exceptions import NotAcceptable
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from superagent.foundation.negotiation import SingleRendererNegotiation


def choose(**headers: str) -> str:
    request = Request(APIRequestFactory().get("/", **headers))
    return SingleRendererNegotiation().select_renderer(request, [JSONRenderer()])[1]


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/problem+json",
        "text/html, application/*;q=0.1",
        "TEXT/HTML, */*;q=0.5",
    ],
)
def test_whoever_accepts_json_gets_it(accept: str) -> None:
    assert choose() == "application/json"
    assert choose(HTTP_ACCEPT=accept) == "application/json"


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "application/json;q=0, */*", "*/*;q=0.000", "image/*"]
)
def test_whoever_does_not_is_told_so(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="send Accept: application/json"):
        choose(HTTP_ACCEPT=accept)
