"""Cached parts of pages that are the same for everyone with the same few values."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context, Node, NodeList, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token, token_kwargs
from django.template.loader_tags import BlockNode
from django.utils.safestring import SafeString
from django.utils.translation import get_language

register = template.Library()
MOST_VARIANTS = 500  # of one part; more, and a value is none of the few


class Shared(Node):
    """The part sees its own values and nothing else of the page: no request, no person, no token. Whatever it shows
    is therefore in its key, and nothing of one reader can be shown to another."""

    child_nodelists = ("nodelist",)

    def __init__(self, nodelist: NodeList, values: dict[str, FilterExpression]) -> None:
        self.nodelist = nodelist
        self.values = values
        self.rendered: dict[tuple[object, ...], SafeString] = {}

    def render(self, context: Context) -> SafeString:
        values = {name: value.resolve(context) for name, value in self.values.items()}
        for name, value in values.items():
            if not isinstance(value, str | int | None):
                raise TypeError(f"{{% shared {name}=… %}} takes words, numbers and truths, not {value!r}")
        key = (get_language(), *((type(value), value) for value in values.values()))  # 1 is not True
        found = self.rendered.get(key)
        if found is None:
            if len(self.rendered) >= MOST_VARIANTS:
                self.rendered.clear()
            found = self.rendered[key] = self.nodelist.render(_alone(values, context))
        return found


def _alone(values: dict[str, Any], context: Context) -> Context:
    alone = Context(values)
    alone.template = context.template
    return alone


@register.tag
def shared(parser: Parser, token: Token) -> Shared:
    """{% shared role=membership.role %}…{% endshared %}: rendered once for each language and values."""
    bits = token.split_contents()[1:]
    values = token_kwargs(bits, parser)
    if bits:
        raise TemplateSyntaxError("{% shared %} takes name=value only")
    nodelist = parser.parse(("endshared",))
    parser.delete_first_token()
    if nodelist.get_nodes_by_type(BlockNode):
        raise TemplateSyntaxError("a {% block %} cannot stand in {% shared %}: pages could not fill it")
    return Shared(nodelist, values)
