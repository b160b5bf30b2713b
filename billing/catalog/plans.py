"""API plans: which are on sale, which one an organization has, and what it allows."""

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from accounts.models import Organization
from billing.models import BillingAccount, Plan, PlanAllowance, Price, Product, Subscription
from billing.signals import plan_changed
from metering.quotas import allowances
from superagent.foundation import tenancy
from superagent.foundation.problems import Invalid, Refusal

FREE = "free"


class AlreadyOnPlan(Refusal):
    status = HTTPStatus.CONFLICT
    code = "already_on_plan"
    title = "The organization has this plan already"


def public() -> QuerySet[Plan]:
    """The plans on sale, lowest rank first, with prices and allowances: three queries."""
    return (
        Plan.objects.filter(is_published=True, product__is_active=True)
        .select_related("product")
        .prefetch_related(
            Prefetch("prices", queryset=Price.objects.filter(is_active=True).order_by("unit_amount")),
            Prefetch(
                "allowances", queryset=PlanAllowance.objects.select_related("meter").order_by("meter__slug")
            ),
        )
        .order_by("rank")
    )


def named(slug: str) -> Plan:
    """The version on sale of the plan `slug`. Raises Invalid, which names the ones there are."""
    plan = public().filter(product__slug=slug).first()
    if plan is None:
        names = ", ".join(public().values_list("product__slug", flat=True))
        raise Invalid.field("/plan", "unknown_plan", f"There is no plan {slug!r}. Choose from: {names}.")
    return plan


def free() -> Plan | None:
    """The plan of everyone who pays nothing; None until the catalog is seeded."""
    return public().filter(product__slug=FREE).first()


def price_of(plan: Plan, interval: str) -> Price:
    """The price on sale. Raises Invalid when the plan is not sold at this interval."""
    price = plan.prices.filter(interval=interval, is_active=True).first()
    if price is None:
        offered = ", ".join(plan.prices.filter(is_active=True).values_list("interval", flat=True)) or "none"
        detail = f"{plan.name} is not sold by this interval. Choose from: {offered}."
        raise Invalid.field("/interval", "not_for_sale", detail)
    return price


def of(organization: Organization) -> Plan | None:
    """The plan in force: the paid one, else free (None only before the catalog is seeded)."""
    account = BillingAccount.objects.filter(organization=organization).select_related("plan__product").first()
    return account.plan if account is not None and account.plan is not None else free()


def subscription_of(organization: Organization) -> Subscription | None:
    """The subscription that pays for the plan in force; of several live ones the highest, then the newest."""
    return (
        Subscription.objects.visible_to(organization)
        .of_plans()
        .live()
        .select_related("plan__product", "price__plan", "price__product", "product", "pending_price__product")
        .order_by("-plan__rank", "-started_at")
        .first()
    )


def terms(plan: Plan) -> list[allowances.Terms]:
    rows: Iterable[PlanAllowance] = plan.allowances.select_related("meter")
    return [
        allowances.Terms(
            meter_slug=row.meter.slug,
            included=row.included,
            is_hard=row.is_hard,
            overage_rate=row.overage_rate,
            currency=row.currency,
        )
        for row in rows
    ]


def is_paid(plan: Plan | None) -> bool:
    return plan is not None and plan.slug != FREE


def put_in_force(*, organization: Organization, since: datetime | None = None, now: datetime) -> bool:
    """Make the plan that is paid for (or free) the one in force, with its allowances. Idempotent.

    `since` is when it came into force, if that was before `now`. Answers whether it changed, and then has sent
    `plan_changed`.
    """
    with tenancy.system("the plan in force"), transaction.atomic():
        account = BillingAccount.objects.select_for_update().get(organization=organization)
        subscription = subscription_of(organization)
        plan = subscription.plan if subscription is not None else _free_plan_kept(account)
        if plan is None or plan.pk == account.plan_id:
            return False
        account.plan = plan
        account.save(update_fields=["plan"])
        allowances.apply(organization=organization, terms=terms(plan), since=since, now=now)
        plan_changed.send(sender=Plan, organization=organization, plan=plan, now=now)
        return True


def _free_plan_kept(account: BillingAccount) -> Plan | None:
    """Who is on a version of free stays on it when another is published."""
    return free() if account.plan is None or is_paid(account.plan) else account.plan


def is_upgrade(*, current: Plan, target: Plan) -> bool:
    return target.rank > current.rank


def of_kind(kind: str) -> QuerySet[Product]:
    """Products on sale of a kind, with their prices on sale: two queries."""
    return (
        Product.objects.filter(kind=kind, is_active=True)
        .prefetch_related(
            Prefetch("prices", queryset=Price.objects.filter(is_active=True).order_by("unit_amount"))
        )
        .order_by("position", "slug")
    )
