"""What the hosted pages share: reading forms and the page for what is over."""

from starlette.datastructures import FormData
from starlette.responses import Response

from superagent.sandbox.pages.rendering import page

SEE_OTHER = 303


def text(form: FormData, name: str) -> str:
    """Return a text field without surrounding space, empty if it was not sent."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def over(title: str, status: int, detail: str = "", back: str | None = None) -> Response:
    """Return the page for something that is gone or done."""
    return page("over.html", status=status, title=title, detail=detail, back=back, leads_to=(back,))
