"""Forms in the portal's own look: `{{ form }}` and `{{ form.field.as_field_group }}` use our templates."""

from typing import Any

from django.forms import BoundField
from django.forms.renderers import TemplatesSetting
from django.forms.widgets import CheckboxInput, CheckboxSelectMultiple, PasswordInput, RadioSelect, Select


class FormRenderer(TemplatesSetting):
    """Set as FORM_RENDERER; widgets stay Django's own, so the admin is untouched."""

    form_template_name = "components/form.html"
    field_template_name = "components/field.html"


def control(bound: BoundField, *, has_hint: bool, attrs: dict[str, Any]) -> str:
    """Returns the widget of `bound`, linked to its hint and error by aria-describedby and marked if invalid."""
    described = [part for part in (bound.field.widget.attrs.get("aria-describedby"),) if part]
    if has_hint and bound.auto_id:
        described.append(f"{bound.auto_id}_hint")
    if bound.auto_id:
        described.append(f"{bound.auto_id}_error")
    all_attrs = {key.replace("_", "-"): value for key, value in attrs.items()}
    if not is_group(bound):
        all_attrs["aria-describedby"] = " ".join(described)
    if type(bound.form).__module__.startswith("allauth."):
        bound.field.widget.attrs.pop("placeholder", None)  # it repeats the label
    if bound.errors:
        all_attrs["aria-invalid"] = "true"
    return bound.as_widget(attrs=all_attrs)


def is_check(bound: BoundField) -> bool:
    return isinstance(bound.field.widget, CheckboxInput)


def is_group(bound: BoundField) -> bool:
    return isinstance(bound.field.widget, CheckboxSelectMultiple | RadioSelect)


def can_be_empty(bound: BoundField) -> bool:
    """Whether the form may be sent without it: a select always has a choice."""
    return not bound.field.required and not isinstance(bound.field.widget, Select)


def is_password(bound: BoundField) -> bool:
    return isinstance(bound.field.widget, PasswordInput)
