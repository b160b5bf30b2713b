"""Shared by the hosted pages: reading forms, and the page for expired or completed sessions."""

from starlette.datastructures import FormData
from starlette.responses import Response

from superagent.sandbox.pages.rendering import page

SEE_OTHER = 303


def text(form: FormData, name: str) -> str:
    """Returns a text field without surrounding space, empty if it was not sent."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def over(title: str, status: int, detail: str = "", back: str | None = None) -> Response:
    """Returns the page for a session that is expired or completed."""
    return page("over.html", status=status, title=title, detail=detail, back=back, leads_to=(back,))
