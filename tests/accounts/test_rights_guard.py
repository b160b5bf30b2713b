"""L9: the database refuses to make anybody staff, but by the one way that staff rights use."""

import pytest
from django.db import ProgrammingError, connection, transaction

from accounts import rights_guard
from accounts.models import User
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, person

pytestmark = pytest.mark.django_db
RIGHTS = ("is_staff", "is_superuser")


@pytest.mark.parametrize("right", RIGHTS)
def test_the_web_role_makes_nobody_staff(owner, right):
    with pytest.raises(ProgrammingError, match="staff rights"), transaction.atomic():
        User.objects.filter(pk=owner.pk).update(**{right: True})
    with pytest.raises(ProgrammingError, match="staff rights"), transaction.atomic():
        User.objects.bulk_create([User(email="new@acme.example", **{right: True})], ignore_conflicts=True)
    with pytest.raises(ProgrammingError, match="staff rights"), transaction.atomic():
        with connection.cursor() as cursor:  # the word that opens it does not help the web role
            cursor.execute("SELECT set_config('app.staff_rights', 'written', true)")
        User.objects.filter(pk=owner.pk).update(**{right: True})


@pytest.mark.parametrize("right", RIGHTS)
def test_the_system_makes_nobody_staff_by_the_way(owner, right):
    """Sign-ups run as the system: a field too many there is refused too."""
    with tenancy.system("test"):
        with pytest.raises(ProgrammingError, match="staff rights"), transaction.atomic():
            User.objects.filter(pk=owner.pk).update(**{right: True})
        with rights_guard.opened():
            User.objects.filter(pk=owner.pk).update(**{right: True})
        with pytest.raises(ProgrammingError, match="staff rights"), transaction.atomic():
            User.objects.filter(pk=owner.pk).update(**{right: False})  # it is closed again


def test_a_row_from_before_does_not_bring_rights_back(owner):
    with rights_guard.opened():
        User.objects.filter(pk=owner.pk).update(is_staff=True)
    old = User.objects.get(pk=owner.pk)
    with rights_guard.opened():
        User.objects.filter(pk=owner.pk).update(is_staff=False)
    with pytest.raises(ProgrammingError, match="staff rights"), transaction.atomic():
        old.save()


def test_an_error_inside_closes_it(owner):
    with pytest.raises(ValueError, match="x"), rights_guard.opened():
        raise ValueError("x")
    with tenancy.system("test"), pytest.raises(ProgrammingError, match="staff rights"), transaction.atomic():
        User.objects.filter(pk=owner.pk).update(is_staff=True)


def test_everything_else_of_a_colleague_may_be_written():
    colleague = person("root@superagent.example", is_staff=True, is_superuser=True)
    colleague.full_name = "Another"
    colleague.save()
    assert User.objects.get(pk=colleague.pk).full_name == "Another"


def test_groups_and_permissions_are_out_of_reach_of_the_web_role(owner):
    for relation in (owner.groups, owner.user_permissions):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            relation.through.objects.create(user_id=owner.pk, **{relation.target_field_name + "_id": 1})


def test_a_superuser_is_made_by_the_manager_that_the_command_on_the_server_uses():
    User.objects.create_superuser("first@superagent.example", PASSWORD, full_name="First")
    assert User.objects.get(email="first@superagent.example").is_superuser
