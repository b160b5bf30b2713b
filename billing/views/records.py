"""Invoices and orders: lists and details."""

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import cursors
from accounts.access import PortalRequest, portal_view
from accounts.roles import Scope
from billing.models import Invoice, Order

SHOWN_STATUSES = [Invoice.Status.PAID, Invoice.Status.OPEN, Invoice.Status.DRAFT]


@require_safe
@portal_view(scope=Scope.BILLING_READ)
def invoices(request: PortalRequest) -> HttpResponse:
    rows = Invoice.objects.visible_to(request.organization)
    status = request.GET.get("status", "")
    has_any = rows.exists()
    if status in Invoice.Status.values:
        rows = rows.filter(status=status)
    page = cursors.page(rows, request.GET)
    context = {"page": page, "status": status, "statuses": SHOWN_STATUSES, "has_any": has_any}
    return render(request, "billing/invoices.html", context)


@require_safe
@portal_view(scope=Scope.BILLING_READ)
def invoice(request: PortalRequest, invoice_id: UUID) -> HttpResponse:
    found = (
        Invoice.objects.visible_to(request.organization)
        .prefetch_related("lines", "payments__refunds")
        .filter(pk=invoice_id)
        .first()
    )
    if found is None:
        raise Http404
    return render(request, "billing/invoice.html", {"invoice": found})


@require_safe
@portal_view(scope=Scope.BILLING_READ)
def orders(request: PortalRequest) -> HttpResponse:
    rows = Order.objects.visible_to(request.organization).prefetch_related("items__product")
    return render(request, "billing/orders.html", {"page": cursors.page(rows, request.GET)})


@require_safe
@portal_view(scope=Scope.BILLING_READ)
def order(request: PortalRequest, order_id: UUID) -> HttpResponse:
    rows = Order.objects.visible_to(request.organization).select_related("placed_by")
    found = (
        rows.prefetch_related("items__product", "items__subscription", "checkout_sessions")
        .filter(pk=order_id)
        .first()
    )
    if found is None:
        raise Http404
    open_sessions = [session for session in found.checkout_sessions.all() if session.status == "open"]
    pay_url = open_sessions[-1].url if open_sessions and found.status == Order.Status.PENDING else ""
    context = {
        "order": found,
        "pay_url": pay_url,
        "is_being_paid": found.status == Order.Status.PENDING and found.payment == Order.Payment.SAVED_CARD,
    }
    return render(request, "billing/order.html", context)
