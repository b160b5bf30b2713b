"""Which legend entries are switched off: the query parameters `hide` and `show` of a page."""

from django.http import QueryDict

MOST_HIDDEN = 20


def hidden_in(query: QueryDict) -> tuple[str, ...]:
    """Returns the keys of the hidden entries, each once, in the order of the URL."""
    shown = set(query.getlist("show"))
    keys = (key for key in query.getlist("hide") if key not in shown)
    return tuple(dict.fromkeys(keys))[:MOST_HIDDEN]
