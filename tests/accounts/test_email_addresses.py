"""The address of an account: one in two tables, taken once, released when the account is closed."""

import pytest
from allauth.account.models import EmailAddress

from accounts import email_addresses
from accounts.models import User
from tests.accounts.conftest import person
from tests.accounts.test_races import at_once, kinds

pytestmark = pytest.mark.django_db(transaction=True)


def addresses_of(user: User) -> tuple[str, list[tuple[str, bool, bool]]]:
    rows = EmailAddress.objects.filter(user=user).values_list("email", "primary", "verified")
    return User.objects.get(pk=user.pk).email, list(rows)


def test_giving_an_address_changes_both_tables():
    ada = person("ada@engines.example")
    email_addresses.give(user=ada, email="countess@engines.example")
    assert addresses_of(ada) == ("countess@engines.example", [("countess@engines.example", True, True)])
    assert ada.email == "countess@engines.example"


def test_an_address_that_another_account_has_is_not_given():
    ada, _bob = person("ada@engines.example"), person("bob@engines.example", verified=False)
    with pytest.raises(email_addresses.EmailTaken):
        email_addresses.give(user=ada, email="bob@engines.example")
    assert addresses_of(ada) == ("ada@engines.example", [("ada@engines.example", True, True)])


def test_of_two_who_are_given_one_address_at_once_one_has_it():
    people = [person("ada@engines.example"), person("bob@engines.example")]
    outcomes = at_once(
        *(lambda user=user: email_addresses.give(user=user, email="new@engines.example") for user in people)
    )
    assert sorted(kinds(outcomes)) == ["EmailTaken", "NoneType"]
    assert User.objects.filter(email="new@engines.example").count() == 1


def test_a_released_address_is_free():
    ada = person("ada@engines.example")
    assert email_addresses.is_taken(" Ada@Engines.example ")
    email_addresses.release(user=ada)
    assert email_addresses.is_released(ada) and not email_addresses.is_taken("ada@engines.example")
    assert not EmailAddress.objects.filter(user=ada).exists()


@pytest.mark.parametrize(
    "addresses, chosen",
    [
        ([("a@x.example", False, True), ("b@x.example", True, True)], "b@x.example"),
        ([("a@x.example", False, True), ("b@x.example", True, False)], "a@x.example"),
        ([("A@X.example ", True, True)], "a@x.example"),
        ([("a@x.example", True, False)], None),
        ([], None),
    ],
)
def test_a_provider_signs_up_with_a_confirmed_address(addresses, chosen):
    found = email_addresses.confirmed_by_provider(
        [
            EmailAddress(email=email, primary=primary, verified=verified)
            for email, primary, verified in addresses
        ]
    )
    assert (found.email if found else None) == chosen
