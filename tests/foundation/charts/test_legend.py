"""Which entries of a legend are switched off, from the address of the page."""

import pytest
from django.http import QueryDict

from superagent.foundation.charts.legend import hidden_in


@pytest.mark.parametrize(
    ("query", "hidden"),
    [
        ("", ()),
        ("hide=a&hide=b&hide=a", ("a", "b")),
        ("hide=a&hide=b&show=a", ("b",)),
        ("show=a", ()),
    ],
)
def test_an_entry_is_hidden_once_until_it_is_shown_again(query: str, hidden: tuple[str, ...]) -> None:
    assert tuple(hidden_in(QueryDict(query))) == hidden
