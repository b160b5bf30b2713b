"""Customers at Stripe: sign-up does not wait for Stripe, and nobody becomes two customers."""

import pytest
from django.utils import timezone

from accounts import customers as port
from accounts import organizations
from billing.customers import stripe_customers
from billing.stripe import client
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Customer, Sandbox, deliver_all, make_customer


@pytest.mark.usefixtures("impatient")
def test_stripe_down_sign_up_works_and_the_customer_follows(customer: Customer, shop: Sandbox) -> None:
    shop.fault("error_500", times=100)
    late = make_customer(shop, "Initech")
    assert late.account.stripe_customer_id is None and late.account.plan.slug == "free"
    assert port.id_of(late.organization) is None
    shop.mend()
    OutboxMessage.objects.filter(organization_id=late.organization.pk).update(due_at=timezone.now())
    deliver_all(late.organization)
    assert late.account.stripe_customer_id == port.id_of(late.organization)


@pytest.mark.usefixtures("impatient")
def test_a_checkout_before_the_outbox_makes_the_one_customer(customer: Customer, shop: Sandbox) -> None:
    shop.fault("error_500", times=100)
    early = make_customer(shop, "Hooli")
    shop.mend()
    made = stripe_customers.ensure(early.organization)
    message = OutboxMessage.objects.get(topic=stripe_customers.CREATE, organization_id=early.organization.pk)
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=timezone.now())
    outbox.deliver(message.pk)
    found = list(client.listed("customers.list", params={"email": early.organization.email}))
    assert [each["id"] for each in found] == [made]


def test_a_worker_killed_before_it_wrote_the_id_down_finds_the_same_customer(customer: Customer) -> None:
    known = customer.account.stripe_customer_id
    account = customer.account
    account.stripe_customer_id = None
    account.save()
    assert stripe_customers.ensure(customer.organization) == known


def test_a_new_name_and_billing_address_reach_stripe(customer: Customer) -> None:
    organizations.update(organization=customer.organization, name="Acme Ltd.", email="bills@acme.example")
    organizations.update(organization=customer.organization, name="Acme Ltd.", email="bills@acme.example")
    assert OutboxMessage.objects.filter(topic=stripe_customers.UPDATE).count() == 1
    customer.settle()
    found = client.call("customers.retrieve", customer.account.stripe_customer_id)
    assert (found["name"], found["email"]) == ("Acme Ltd.", "bills@acme.example")


def test_who_is_renamed_before_stripe_knew_them_is_known_by_the_new_name(customer: Customer) -> None:
    account = customer.account
    account.stripe_customer_id = None
    account.save()
    organizations.update(
        organization=customer.organization, name="Initech", email=customer.organization.email
    )
    customer.settle()
    assert client.call("customers.retrieve", customer.account.stripe_customer_id)["name"] == "Initech"
