"""Only who has confirmed an email address may buy."""

import pytest

from accounts import people
from billing.selling.purchase_checks import require_verified_email
from tests.accounts.conftest import join
from tests.billing.conftest import Customer, Sandbox, make_customer


def test_a_confirmed_address_may_buy_and_so_may_a_key_of_its_organization(customer: Customer) -> None:
    require_verified_email(organization=customer.organization, user=customer.user)
    require_verified_email(organization=customer.organization, user=None)


def test_an_address_that_is_not_confirmed_may_not_buy(customer: Customer, shop: Sandbox) -> None:
    late = make_customer(shop, "Initech", verified=False)
    for user in (late.user, None):
        with pytest.raises(people.EmailNotVerified):
            require_verified_email(organization=late.organization, user=user)


def test_a_member_with_a_confirmed_address_does_not_vouch_for_a_key(
    customer: Customer, shop: Sandbox
) -> None:
    late = make_customer(shop, "Hooli", verified=False)
    join(late.organization, "vic@example.com", "admin")
    with pytest.raises(people.EmailNotVerified):
        require_verified_email(organization=late.organization, user=None)
