"""Invoices, payments, refunds and overage."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin.audited import FactsAdmin, FactsInline
from billing.models import Invoice, InvoiceLine, OverageCharge, Payment, Refund
from billing.overage import charges
from billing.projection import invoices as invoice_projection
from superagent.foundation.money import Money


class InvoiceLineInline(FactsInline):
    model = InvoiceLine
    fields = ["description", "quantity", "amount", "currency", "period_start", "period_end", "is_proration"]


class PaymentInline(FactsInline):
    model = Payment
    fields = ["stripe_id", "status", "amount", "amount_refunded", "currency", "failure_message", "created_at"]
    show_change_link = True


@admin.register(Invoice)
class InvoiceAdmin(FactsAdmin):
    list_display = [
        "created_at",
        "number",
        "organization",
        "status",
        "money",
        "billing_reason",
        "attempt_count",
    ]
    list_filter = ["status"]
    list_select_related = ["organization"]
    search_fields = ["number", "=stripe_id", "organization__name", "organization__email", "=id"]
    date_hierarchy = "created_at"
    inlines = [InvoiceLineInline, PaymentInline]
    actions = ["refresh"]

    @admin.display(description=_("total"), ordering="total")
    def money(self, invoice: Invoice) -> str:
        return str(Money(invoice.total, invoice.currency))

    @admin.action(description=_("Fetch from Stripe again"), permissions=["view"])
    def refresh(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        def call(invoice: Invoice, reason: str) -> bool:
            return invoice_projection.refresh(invoice.stripe_id) is not None

        self.act(
            request, queryset, permission="billing.change_invoice", action="invoice.refreshed", call=call
        )


class RefundInline(FactsInline):
    model = Refund
    fields = ["stripe_id", "status", "amount", "currency", "reason", "created_at"]


@admin.register(Payment)
class PaymentAdmin(FactsAdmin):
    list_display = [
        "created_at",
        "organization",
        "status",
        "money",
        "amount_refunded",
        "failure_code",
        "invoice",
    ]
    list_filter = ["status"]
    list_select_related = ["organization", "invoice"]
    search_fields = ["=stripe_id", "=charge_id", "organization__name", "organization__email"]
    date_hierarchy = "created_at"
    inlines = [RefundInline]

    @admin.display(description=_("amount"), ordering="amount")
    def money(self, payment: Payment) -> str:
        return str(Money(payment.amount, payment.currency))


@admin.register(OverageCharge)
class OverageChargeAdmin(FactsAdmin):
    """Overage of closed periods: rated = invoiced + waived."""

    list_display = ["created_at", "organization", "meter", "quantity", "money", "status", "invoice_item_id"]
    list_filter = ["status", "meter", "is_carried_over"]
    list_select_related = ["organization", "meter"]
    search_fields = ["organization__name", "organization__email", "=invoice_item_id", "=target_invoice_id"]
    date_hierarchy = "created_at"
    actions = ["waive", "place"]

    @admin.display(description=_("amount"), ordering="amount")
    def money(self, charge: OverageCharge) -> str:
        return str(Money(charge.amount, charge.currency))

    @admin.action(description=_("Waive (never invoice)"), permissions=["view"])
    def waive(self, request: HttpRequest, queryset: QuerySet[OverageCharge]) -> None:
        def call(charge: OverageCharge, reason: str) -> bool:
            return charges.waive(charge=charge, reason=reason)

        self.act(
            request,
            queryset,
            permission="billing.change_overagecharge",
            action="overage_charge.waived",
            call=call,
        )

    @admin.action(description=_("Invoice now"), permissions=["view"])
    def place(self, request: HttpRequest, queryset: QuerySet[OverageCharge]) -> None:
        def call(charge: OverageCharge, reason: str) -> bool:
            return charges.place_now(charge)

        self.act(
            request,
            queryset,
            permission="billing.change_overagecharge",
            action="overage_charge.placed",
            call=call,
        )
