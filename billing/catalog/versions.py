"""Versions of a plan: a published version is immutable; staff copy it, edit the copy and publish that."""

from django.db import transaction
from django.db.models import Max

from billing.models import Plan, PlanAllowance, Price, Product
from billing.signals import catalog_changed


@transaction.atomic
def publish(plan: Plan) -> None:
    """Put a version of a plan on sale, replacing the previous one; subscribers keep theirs."""
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
    """Returns a draft copy of `plan` as its next version, with the same allowances and prices."""
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
