"""Which entries of a legend are switched off: `hide` in the address of a page, and what `show` brings back."""

from django.http import QueryDict

MOST_HIDDEN = 20


def hidden_in(query: QueryDict) -> tuple[str, ...]:
    """Their keys, each once, in the order of the address."""
    shown = set(query.getlist("show"))
    keys = (key for key in query.getlist("hide") if key not in shown)
    return tuple(dict.fromkeys(keys))[:MOST_HIDDEN]
