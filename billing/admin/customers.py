"""Billing accounts, subscriptions and orders."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin.audited import FactsAdmin, FactsInline
from billing import test_clocks
from billing.models import BillingAccount, CheckoutSession, Order, OrderItem, Subscription
from billing.projection import customers as customer_projection
from billing.projection import subscriptions as subscription_projection
from billing.selling import cancellations
from metering.quotas import months
from superagent.foundation import clock
from superagent.foundation.templatetags.formats import absolute

CHANGE_ACCOUNT = "billing.change_billingaccount"
CHANGE_SUBSCRIPTION = "billing.change_subscription"


@admin.register(BillingAccount)
class BillingAccountAdmin(FactsAdmin):
    """An organization's customer at Stripe. In test mode it can be attached to a test clock."""

    list_display = ["organization", "stripe_customer_id", "plan", "card", "is_delinquent", "test_clock_time"]
    list_filter = ["is_delinquent", "plan__product", ("test_clock_target", admin.EmptyFieldListFilter)]
    list_select_related = ["organization", "plan__product"]
    search_fields = ["organization__name", "organization__email", "=stripe_customer_id", "=organization__id"]
    actions = ["refresh", "attach_test_clock", "advance_a_day", "advance_a_month", "delete_test_clock"]

    @admin.display(description=_("card"))
    def card(self, account: BillingAccount) -> str:
        return f"{account.card_brand} •••• {account.card_last_four}" if account.has_card else "–"

    @admin.display(description=_("test clock"))
    def test_clock_time(self, account: BillingAccount) -> str:
        """The time of its test clock, and the target if it is being advanced."""
        here, target = account.organization.test_clock_time, account.test_clock_target
        if here is None:
            return "–"
        facts = {"here": absolute(here), "target": absolute(target) if target else ""}
        if target is None:
            return facts["here"]
        if test_clocks.advancing_to(account) is None:
            return gettext("%(here)s. Advancing to %(target)s failed: see the outbox's dead letters.") % facts
        return gettext("%(here)s. Advancing to %(target)s…") % facts

    @admin.action(description=_("Fetch from Stripe again"), permissions=["view"])
    def refresh(self, request: HttpRequest, queryset: QuerySet[BillingAccount]) -> None:
        def call(account: BillingAccount, reason: str) -> bool:
            if account.stripe_customer_id:
                customer_projection.refresh(account.stripe_customer_id)
            return bool(account.stripe_customer_id)

        self.act(request, queryset, permission=CHANGE_ACCOUNT, action="billing_account.refreshed", call=call)

    @admin.action(description=_("Attach to a Stripe test clock (permanent)"), permissions=["view"])
    def attach_test_clock(self, request: HttpRequest, queryset: QuerySet[BillingAccount]) -> None:
        def call(account: BillingAccount, reason: str) -> bool:
            return bool(test_clocks.start(account.organization).test_clock_id)

        self._move_clock(request, queryset, "organization.test_clock_attached", call)

    @admin.action(description=_("Advance the test clock by a day"), permissions=["view"])
    def advance_a_day(self, request: HttpRequest, queryset: QuerySet[BillingAccount]) -> None:
        def call(account: BillingAccount, reason: str) -> bool:
            now = clock.now(account.organization)
            test_clocks.advance(organization=account.organization, to=now + timedelta(days=1))
            return True

        self._advance(request, queryset, call)

    @admin.action(description=_("Advance the test clock by a month"), permissions=["view"])
    def advance_a_month(self, request: HttpRequest, queryset: QuerySet[BillingAccount]) -> None:
        def call(account: BillingAccount, reason: str) -> bool:
            now = clock.now(account.organization)
            test_clocks.advance(organization=account.organization, to=months.add(now, 1))
            return True

        self._advance(request, queryset, call)

    @admin.action(description=_("Delete the test clock and its customer at Stripe"), permissions=["view"])
    def delete_test_clock(self, request: HttpRequest, queryset: QuerySet[BillingAccount]) -> None:
        def call(account: BillingAccount, reason: str) -> bool:
            test_clocks.stop(account.organization)
            return True

        self._move_clock(request, queryset, "organization.test_clock_deleted", call)

    def _advance(self, request: HttpRequest, queryset: QuerySet[BillingAccount], call: Any) -> None:
        action = "organization.test_clock_advanced_by_staff"
        self._move_clock(request, queryset, action, call, is_begun_only=True)

    def _move_clock(
        self,
        request: HttpRequest,
        queryset: QuerySet[BillingAccount],
        action: str,
        call: Any,
        is_begun_only: bool = False,
    ) -> None:
        rows = queryset.select_related("organization")
        self.act(
            request, rows, permission=CHANGE_ACCOUNT, action=action, call=call, is_begun_only=is_begun_only
        )


@admin.register(Subscription)
class SubscriptionAdmin(FactsAdmin):
    list_display = [
        "organization",
        "product",
        "status",
        "interval",
        "current_period_end",
        "cancel_at_period_end",
        "pending_price",
        "pending_at",
        "stripe_id",
    ]
    list_filter = [
        "status",
        "product",
        "interval",
        "cancel_at_period_end",
        ("pending_at", admin.EmptyFieldListFilter),
    ]
    list_select_related = ["organization", "product", "pending_price__product"]
    search_fields = ["=stripe_id", "organization__name", "organization__email", "=id"]
    date_hierarchy = "started_at"
    actions = ["refresh", "cancel_at_period_end", "resume"]

    @admin.action(description=_("Fetch from Stripe again"), permissions=["view"])
    def refresh(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        def call(subscription: Subscription, reason: str) -> bool:
            return subscription_projection.refresh(subscription.stripe_id) is not None

        self.act(
            request, queryset, permission=CHANGE_SUBSCRIPTION, action="subscription.refreshed", call=call
        )

    @admin.action(description=_("Cancel at the end of the period"), permissions=["view"])
    def cancel_at_period_end(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        def call(subscription: Subscription, reason: str) -> bool:
            now = clock.now(subscription.organization)
            return cancellations.cancel(subscription=subscription, reason=reason, now=now).is_canceling

        rows = queryset.select_related("organization")
        self.act(
            request, rows, permission=CHANGE_SUBSCRIPTION, action="subscription.canceled_by_staff", call=call
        )

    @admin.action(description=_("Resume"), permissions=["view"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        def call(subscription: Subscription, reason: str) -> bool:
            now = clock.now(subscription.organization)
            return not cancellations.resume(subscription=subscription, now=now).is_canceling

        rows = queryset.select_related("organization")
        self.act(
            request, rows, permission=CHANGE_SUBSCRIPTION, action="subscription.resumed_by_staff", call=call
        )


class OrderItemInline(FactsInline):
    model = OrderItem
    fields = ["product", "unit_amount", "currency", "options", "status", "paid_at"]


class CheckoutSessionInline(FactsInline):
    model = CheckoutSession
    fields = ["stripe_id", "status", "created_at", "expires_at"]


@admin.register(Order)
class OrderAdmin(FactsAdmin):
    list_display = ["created_at", "organization", "status", "payment", "total", "currency", "placed_by"]
    list_filter = ["status", "payment"]
    list_select_related = ["organization", "placed_by"]
    search_fields = ["organization__name", "organization__email", "=id", "=checkout_sessions__stripe_id"]
    date_hierarchy = "created_at"
    inlines = [OrderItemInline, CheckoutSessionInline]


@admin.register(CheckoutSession)
class CheckoutSessionAdmin(FactsAdmin):
    """Stripe Checkout sessions."""

    list_display = ["created_at", "organization", "status", "plan", "order", "stripe_id"]
    list_filter = ["status"]
    list_select_related = ["organization", "plan__product", "order"]
    search_fields = ["=stripe_id", "organization__name"]
    exclude = ["url"]
