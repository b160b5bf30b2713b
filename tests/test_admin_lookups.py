"""Lists of the admin are filtered by what they offer, and by nothing else."""

from collections.abc import Iterator
from http import HTTPStatus

import pytest
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import reverse

from accounts.models import User
from tests.accounts.conftest import person
from tests.fixtures.staff import staff_client

LOOKUPS = ("", "__startswith", "__gt", "__icontains", "__isnull", "__regex", "__exact", "__in")


@pytest.fixture
def root(db: None) -> User:
    return person("root@superagent.example", is_staff=True, is_superuser=True)


def offered(model_admin: admin.ModelAdmin, request: HttpRequest) -> set[str]:
    """Columns that a filter of the list is about."""
    entries = model_admin.get_list_filter(request)
    own = {entry.parameter_name for entry in entries if isinstance(entry, type)}  # filters of our own
    paths = [
        entry if isinstance(entry, str) else entry[0] for entry in entries if not isinstance(entry, type)
    ]
    return own | {path.split("__")[0] for path in paths}


def questions(model: type[Model], offered_columns: set[str]) -> Iterator[str]:
    for field in model._meta.concrete_fields:
        for how in LOOKUPS if field.name not in offered_columns else ("__startswith", "__regex"):
            yield field.name + how


def test_no_list_answers_questions_about_columns_that_it_does_not_offer(root: User) -> None:
    """Staff who may look at people asked for password hashes letter by letter, in 300 requests."""
    request = RequestFactory().get("/", {"q": "x"})
    asked = [
        (model_admin, name)
        for model, model_admin in admin.site._registry.items()
        for name in questions(model, offered(model_admin, request))
    ]
    assert [str(each) for each, name in asked if each.lookup_allowed(name, "x", request)] == []


@pytest.mark.parametrize(
    "address, query",
    [
        ("accounts_user", "is_superuser__exact=1&password__startswith=bcrypt"),
        ("accounts_user", "log_in_stamp__gt=a"),
        ("accounts_user", "created_at__year=99999999999"),
        ("accounts_tokenfamily", "refresh_jti__startswith=a"),
        ("accounts_apikey", "key_hash__gt=zz"),
        ("billing_webhookendpoint", "secret__startswith=whsec_"),
        ("licensing_license", "key_hash__gt=zz"),
        ("foundation_outboxmessage", "payload__icontains=token"),
        ("accounts_membership", "user__password__startswith=b"),
    ],
)
def test_such_a_question_is_refused(root: User, address: str, query: str) -> None:
    answer = staff_client(root).get(f"{reverse(f'admin:{address}_changelist')}?{query}")
    assert answer.status_code == HTTPStatus.BAD_REQUEST


def test_what_a_list_offers_works(root: User) -> None:
    """Every link that the filters and the dates of a list draw."""
    client = staff_client(root)
    person("olga@acme.example")
    for model, model_admin in admin.site._registry.items():
        request = RequestFactory().get("/", {"q": "x"})
        request.user = root
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for entry in model_admin.get_list_filter(request):
            for name in model_admin._parameters(entry):
                answer = client.get(path, {name: "1", "q": "x"})
                assert answer.status_code in (HTTPStatus.OK, HTTPStatus.FOUND), (
                    path,
                    name,
                )  # no such value: ?e=1
    dates = client.get("/admin/accounts/user/", {"created_at__year": "2026", "created_at__month": "11"})
    assert dates.status_code == HTTPStatus.OK
    assert "olga@acme.example" in client.get("/admin/accounts/user/?is_staff__exact=0").content.decode()


def test_there_is_no_way_from_a_row_to_a_page_of_the_site(root: User) -> None:
    assert staff_client(root).get("/admin/r/1/1/").status_code == HTTPStatus.NOT_FOUND
