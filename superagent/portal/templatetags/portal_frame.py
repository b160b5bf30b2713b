"""What the frame of the portal draws: the menu, and the title of the window from the heading of the page."""

from django import template
from django.template import Context
from django.template.loader_tags import BLOCK_CONTEXT_KEY
from django.utils.html import strip_tags
from django.utils.safestring import SafeString, mark_safe

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


@register.simple_tag(takes_context=True)
def heading_text(context: Context) -> SafeString:
    """The block `heading` without its markup, so that a page writes its title once."""
    heading = context.render_context[BLOCK_CONTEXT_KEY].get_block("heading")
    with context.push():
        words = strip_tags(heading.nodelist.render(context)).split()
    return mark_safe(" ".join(words))  # noqa: S308  # the block has escaped what it shows
