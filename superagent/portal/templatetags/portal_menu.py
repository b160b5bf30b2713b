"""The menu as the frame of the portal draws it."""

from django import template
from django.template import Context

from superagent.portal import menu

register = template.Library()


@register.simple_tag(takes_context=True)
def menu_mark(context: Context) -> menu.Mark:
    """{% menu_mark as here %}: where in the menu the reader is."""
    request = context.get("request")
    return menu.mark(request.path if request else "")


@register.simple_tag
def menu_sections(role: str) -> list[menu.Section]:
    return menu.sections(role)
