"""API plans: those on sale, an organization's current plan and its allowances."""

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
from superagent.foundation.prepared import Given, Prepared
from superagent.foundation.problems import Invalid, Refusal

FREE = "free"


class AlreadyOnPlan(Refusal):
    status = HTTPStatus.CONFLICT
    code = "already_on_plan"
    title = "The organization already has this plan"


def on_sale() -> QuerySet[Plan]:
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


def get_on_sale(slug: str) -> Plan:
    """Returns the version on sale of the plan `slug`. Raises Invalid, naming the available plans."""
    plan = on_sale().filter(product__slug=slug).first()
    if plan is None:
        names = ", ".join(on_sale().values_list("product__slug", flat=True))
        raise Invalid.field("/plan", "unknown_plan", f"There is no plan {slug!r}. Choose from: {names}.")
    return plan


def free() -> Plan | None:
    """Returns the free plan; None until the catalog is seeded."""
    return on_sale().filter(product__slug=FREE).first()


def price_of(plan: Plan, interval: str) -> Price:
    """Returns the price on sale. Raises Invalid if the plan is not sold at this interval."""
    price = plan.prices.filter(interval=interval, is_active=True).first()
    if price is None:
        offered = ", ".join(plan.prices.filter(is_active=True).values_list("interval", flat=True)) or "none"
        detail = f"{plan.name} is not sold by this interval. Choose from: {offered}."
        raise Invalid.field("/interval", "not_for_sale", detail)
    return price


def current_plan(organization: Organization) -> Plan | None:
    """Returns the current plan: the paid one, else free (None only before the catalog is seeded)."""
    account = BillingAccount.objects.filter(organization=organization).select_related("plan__product").first()
    return account.plan if account is not None and account.plan is not None else free()


def subscription_of(organization: Organization) -> Subscription | None:
    """Returns the subscription that pays for the current plan: the highest-ranked live one, then the newest."""
    return _paying.first(organization=organization.pk)


_paying: Prepared[Subscription] = Prepared(
    lambda: (
        Subscription.objects.filter(organization=Given("organization"))
        .of_plans()
        .live()
        .select_related("plan__product", "price__plan", "price__product", "product", "pending_price__product")
        .order_by("-plan__rank", "-started_at")[:1]
    )
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


def apply_current_plan(*, organization: Organization, since: datetime | None = None, now: datetime) -> bool:
    """Store the plan that is paid for (or free) as the current one and apply its allowances. Idempotent.

    `since` is when it took effect, if that was before `now`. Returns True, after sending `plan_changed`, if the plan
    changed.
    """
    with tenancy.system("apply the current plan"), transaction.atomic():
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
    """An organization on a version of the free plan keeps it when another version is published."""
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
