"""Form fields as components, and the summary of what is wrong with a form."""

from typing import Any

from django import template
from django.forms import BaseForm, BoundField

from superagent.foundation import rendering

register = template.Library()


@register.inclusion_tag("components/field.html")
def field(
    bound: BoundField, hint: str = "", label: str = "", prefix: str = "", suffix: str = "", switch: bool = False,
    optional: bool = True,
    show_hint: bool = True, **attrs: Any,
) -> dict[str, Any]:  # fmt: skip
    """One form field: label, hint, control, error. Other arguments become attributes of the control."""
    return locals() | {"field": bound}


@register.simple_tag
def control(bound: BoundField, attrs: dict[str, Any] | None = None, hint: str = "") -> str:
    return rendering.control(bound, has_hint=bool(hint or bound.help_text), attrs=attrs or {})


@register.inclusion_tag("components/error_summary.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """The linked summary that gets the focus when a form comes back with errors."""
    return {"form": form, "fields": [bound for bound in form if bound.errors] if form.is_bound else []}


@register.filter
def is_check(bound: BoundField) -> bool:
    return rendering.is_check(bound)


@register.filter
def is_group(bound: BoundField) -> bool:
    return rendering.is_group(bound)


@register.filter
def can_be_empty(bound: BoundField) -> bool:
    return rendering.can_be_empty(bound)


@register.filter
def is_password(bound: BoundField) -> bool:
    return rendering.is_password(bound)
