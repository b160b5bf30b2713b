import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.views import APIView

from accounts import permissions
from accounts.roles import Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import page_of


def test_a_view_that_forgets_its_scope_is_an_error_not_an_open_door():
    class Forgetful(APIView):
        pass

    with pytest.raises(ImproperlyConfigured, match="Forgetful does not declare required_scope"):
        permissions.required_scope(Forgetful(), "GET")


@pytest.mark.parametrize(
    "declared, method, scope",
    [
        (None, "GET", None),
        (Scope.USAGE_READ, "POST", Scope.USAGE_READ),
        ({"GET": Scope.KEYS_READ, "POST": Scope.KEYS_WRITE}, "POST", Scope.KEYS_WRITE),
        ({"GET": Scope.KEYS_READ, "POST": Scope.KEYS_WRITE}, "OPTIONS", Scope.KEYS_READ),
        ({"POST": Scope.KEYS_WRITE}, "HEAD", Scope.KEYS_WRITE),
    ],
)
def test_required_scope(declared, method, scope):
    view = type("View", (), {"required_scope": declared})()
    assert permissions.required_scope(view, method) == scope


def test_a_page_runs_in_the_scope_of_its_organization_and_leaves_none(acme, owner, monkeypatch):
    from accounts.views import members

    seen = []
    monkeypatch.setattr(
        members, "render", lambda *args, **kw: seen.append(tenancy.current()) or HttpResponse()
    )
    page_of(owner).get("/members/")
    assert seen[0].organization_id == acme.pk
    assert tenancy.current() == tenancy.NONE


def test_the_frame_of_a_page_costs_few_queries(acme, owner, django_assert_max_num_queries):
    page = page_of(owner)
    page.get("/settings/profile/")
    # session, user, membership twice (default first), switcher, closing
    with django_assert_max_num_queries(7):
        page.get("/settings/profile/")


def test_a_method_without_a_scope_is_no_open_door():
    view = type("View", (), {"required_scope": {"GET": Scope.KEYS_READ}})()
    with pytest.raises(MethodNotAllowed):
        permissions.required_scope(view, "PUT")
