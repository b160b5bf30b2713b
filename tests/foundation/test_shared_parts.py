"""{% shared %}: rendered once for its values, and blind to everything else."""

import pytest
from django.template import Context, Template, TemplateSyntaxError
from django.test import RequestFactory
from django.utils.translation import override

from accounts.models import Organization, User
from superagent.foundation.templatetags import shared_parts


def test_it_is_rendered_once_for_the_same_values() -> None:
    template = Template("{% load ui %}{% shared role=role %}{{ role }} {% now 'u' %}{% endshared %}")
    first = template.render(Context({"role": "owner"}))
    assert template.render(Context({"role": "owner"})) == first
    assert template.render(Context({"role": "viewer"})) != first


def test_nothing_of_the_page_around_it_can_be_read_inside() -> None:
    """Two people, two organizations, two tokens: what one is shown does not depend on who came first."""
    template = Template(
        "{% load ui %}{{ name }}:{% shared is_staff=is_staff %}"
        "[{{ name }}{{ csrf_token }}{{ request.path }}{{ user.email }}{{ organization }}{{ messages }}]"
        "{% csrf_token %}{% endshared %}"
    )
    for name in ("Ada", "Bo"):
        page = {
            "name": name,
            "is_staff": False,
            "csrf_token": f"token of {name}",
            "request": RequestFactory().get(f"/{name}/"),
            "user": User(email=f"{name}@example.com"),
            "organization": Organization(name=f"{name} Ltd"),
            "messages": [f"Hello {name}"],
        }
        assert template.render(Context(page)) == f"{name}:[]"


def test_each_language_has_its_own() -> None:
    template = Template(
        "{% load i18n ui %}{% shared %}{% get_current_language as code %}{{ code }}{% endshared %}"
    )
    for code in ("en", "de", "en"):
        with override(code):
            assert template.render(Context()) == code


@pytest.mark.parametrize("value", [User(email="ada@example.com"), Organization(name="Acme"), [1], object()])
def test_a_value_is_a_word_a_number_or_a_truth(value: object) -> None:
    template = Template("{% load ui %}{% shared who=who %}{{ who }}{% endshared %}")
    with pytest.raises(TypeError, match="who"):
        template.render(Context({"who": value}))


def test_values_that_are_equal_in_python_are_kept_apart() -> None:
    template = Template("{% load ui %}{% shared value=value %}{{ value }}{% endshared %}")
    assert [template.render(Context({"value": value})) for value in (1, True, 0, False)] == [
        "1",
        "True",
        "0",
        "False",
    ]


def test_the_number_of_variants_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_parts, "MOST_VARIANTS", 3)
    template = Template("{% load ui %}{% shared number=number %}{{ number }}{% endshared %}")
    assert [template.render(Context({"number": number})) for number in range(10)] == [
        str(n) for n in range(10)
    ]
    node = template.nodelist.get_nodes_by_type(shared_parts.Shared)[0]
    assert len(node.rendered) <= 3


def test_what_it_shows_is_escaped() -> None:
    template = Template("{% load ui %}{% shared name=name %}{{ name }}{% endshared %}")
    assert template.render(Context({"name": "<b>"})) == "&lt;b&gt;"


@pytest.mark.parametrize(
    "source", ["{% shared role %}x{% endshared %}", "{% shared %}{% block a %}{% endblock %}{% endshared %}"]
)
def test_what_could_not_work_is_refused_when_the_template_is_read(source: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        Template("{% load ui %}" + source)
