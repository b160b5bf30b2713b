"""Products, plans and prices. A plan that was sold is immutable: staff create a new version and publish it."""

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin.audited import AuditedAdmin
from billing.catalog import sync, versions
from billing.models import OrderItem, Plan, PlanAllowance, Price, Product
from superagent.foundation import outbox

CHANGE_PLAN = "billing.change_plan"


class _CatalogAdmin(AuditedAdmin):
    """Saving writes rows and enqueues the sync to Stripe."""

    def after_change(self, request: HttpRequest, row: Any, reason: str, changes: dict[str, Any]) -> None:
        outbox.enqueue(topic=sync.PUSH, payload={})


@admin.register(Product)
class ProductAdmin(_CatalogAdmin):
    list_display = ["name", "slug", "kind", "is_active", "position", "stripe_id"]
    list_filter = ["kind", "is_active"]
    search_fields = ["name", "slug", "=stripe_id"]
    fields = ["slug", "name", "kind", "description", "position", "is_active", "stripe_id", "created_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = ["stripe_id", "created_at"]
        return [*fixed, "slug", "kind"] if obj else fixed


class PlanAllowanceInline(admin.StackedInline):  # a table's cells have no labels
    model = PlanAllowance
    extra = 0
    fields = ["meter", "included", "is_hard", "overage_rate", "currency"]

    def has_change_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return (obj is None or not _is_fixed(obj)) and super().has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return (obj is None or not _is_fixed(obj)) and super().has_add_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return (obj is None or not _is_fixed(obj)) and super().has_delete_permission(request, obj)


def _is_fixed(plan: Plan) -> bool:
    """True if the plan is on sale or was bought: its allowances must not change any more."""
    return plan.is_published or plan.subscriptions.exists()


@admin.register(Plan)
class PlanAdmin(_CatalogAdmin):
    """To change a plan: select it, "Make a new version", edit that, publish it. Customers keep the old version."""

    list_display = ["product", "version", "rank", "trial_days", "is_published"]
    list_filter = ["is_published", "product"]
    list_select_related = ["product"]
    fields = ["product", "version", "rank", "trial_days", "features", "is_published", "created_at"]
    inlines = [PlanAllowanceInline]
    actions = ["make_version", "publish"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # versions are made from versions

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        fixed = ["product", "version", "is_published", "created_at"]
        return [*fixed, "rank", "trial_days", "features"] if obj is not None and _is_fixed(obj) else fixed

    @admin.action(description=_("Make a new version"), permissions=["change"])
    def make_version(self, request: HttpRequest, queryset: QuerySet[Plan]) -> None:
        def call(plan: Plan, reason: str) -> bool:
            copy = versions.new_version(plan)
            self.message_user(
                request, _("%s was created. Edit it, then publish it.") % copy, messages.SUCCESS
            )
            return True

        self.act(request, queryset, permission=CHANGE_PLAN, action="plan.version_made", call=call)

    @admin.action(
        description=_("Publish: put on sale, replacing the current version"), permissions=["change"]
    )
    def publish(self, request: HttpRequest, queryset: QuerySet[Plan]) -> None:
        if queryset.count() != 1:
            self.message_user(request, _("Publish one version at a time."), messages.ERROR)
            return

        def call(plan: Plan, reason: str) -> bool:
            with transaction.atomic():
                versions.publish(plan)
                outbox.enqueue(topic=sync.PUSH, payload={})
            self.message_user(request, _("%s is on sale now.") % plan, messages.SUCCESS)
            return True

        self.act(request, queryset, permission=CHANGE_PLAN, action="plan.published", call=call)


@admin.register(Price)
class PriceAdmin(_CatalogAdmin):
    """A price that was sold or synced to Stripe can only go on and off sale. For a new amount add a price."""

    list_display = ["product", "plan", "interval", "unit_amount", "currency", "is_active", "stripe_id"]
    list_filter = ["is_active", "interval", "product"]
    list_select_related = ["product", "plan__product"]
    search_fields = ["product__name", "=stripe_id"]
    fields = [
        "product",
        "plan",
        "interval",
        "currency",
        "unit_amount",
        "is_active",
        "stripe_id",
        "created_at",
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> list[str]:
        fixed = ["stripe_id", "created_at"]
        if obj is None or not _is_sold(obj):
            return fixed
        return [*fixed, "product", "plan", "interval", "currency", "unit_amount"]


def _is_sold(price: Price) -> bool:
    return (
        price.stripe_id is not None
        or price.subscriptions.exists()
        or OrderItem.objects.filter(price=price).exists()
    )
