"""Invoices and orders: lists and details."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import PortalRequest, portal_view
from accounts.roles import Scope
from billing.models import Invoice, Order
from billing.selling import checkout
from superagent.foundation import cursors
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal

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
    is_pending = found.status == Order.Status.PENDING
    context = {
        "order": found,
        "pay_url": pay_url,
        "is_unpaid": is_pending and found.payment == Order.Payment.CHECKOUT,
        "is_being_paid": is_pending and found.payment == Order.Payment.SAVED_CARD,
        "was_given_up": found.status in (Order.Status.EXPIRED, Order.Status.CANCELED),
    }
    return render(request, "billing/order.html", context)


@post_only(page="order")
@portal_view(scope=Scope.BILLING_WRITE)
def cancel_order(request: PortalRequest, order_id: UUID) -> HttpResponse:
    found = Order.objects.visible_to(request.organization).filter(pk=order_id).first()
    if found is None:
        raise Http404
    try:
        checkout.cancel_order(order=found)
    except Refusal as refusal:
        messages.error(request, refusal.detail)
    else:
        messages.success(request, _("The order was canceled. Nothing was charged."))
    return redirect("order", order_id)
