"""Versions of a plan: a published one never changes; staff copy it, edit the copy and publish that."""

from django.db import transaction
from django.db.models import Max

from billing.models import Plan, PlanAllowance, Price, Product
from billing.signals import catalog_changed


@transaction.atomic
def publish(plan: Plan) -> None:
    """Put a version of a plan on sale in place of the one before; who has that one keeps it."""
    Product.objects.select_for_update().get(pk=plan.product_id)
    Plan.objects.filter(product=plan.product_id, is_published=True).exclude(pk=plan.pk).update(
        is_published=False
    )
    Price.objects.filter(product=plan.product_id, is_active=True).exclude(plan=plan).update(is_active=False)
    Plan.objects.filter(pk=plan.pk).update(is_published=True)
    Price.objects.filter(plan=plan).update(is_active=True)
    catalog_changed.send(None, product=plan.product_id)


@transaction.atomic
def new_version(plan: Plan) -> Plan:
    """A copy of `plan` to edit and then publish: next version, same allowances and prices, not on sale yet."""
    Product.objects.select_for_update().get(pk=plan.product_id)
    latest = Plan.objects.filter(product=plan.product_id).aggregate(latest=Max("version"))["latest"]
    copy = Plan.objects.create(
        product=plan.product,
        version=latest + 1,
        rank=plan.rank,
        features=plan.features,
        trial_days=plan.trial_days,
    )
    for allowance in plan.allowances.all():
        PlanAllowance.objects.create(
            plan=copy,
            meter=allowance.meter,
            included=allowance.included,
            is_hard=allowance.is_hard,
            overage_rate=allowance.overage_rate,
            currency=allowance.currency,
        )
    for price in plan.prices.filter(is_active=True):
        Price.objects.create(
            product=plan.product,
            plan=copy,
            interval=price.interval,
            currency=price.currency,
            unit_amount=price.unit_amount,
            is_active=False,
        )
    return copy
