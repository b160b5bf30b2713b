from django.urls import path

from billing.views import buying, plan, records
from billing.webhooks import stripe_webhook

urlpatterns = [
    path("billing/", plan.billing, name="billing"),
    path("billing/plans/", plan.choose, name="plans"),
    path("billing/plans/<slug:plan>/", plan.change, name="plan-change"),
    path("billing/cancel/", plan.cancel, name="plan-cancel"),
    path("billing/resume/", plan.resume, name="plan-resume"),
    path("billing/card/", plan.customer_portal, name="customer-portal"),
    path("checkout/", buying.buy, name="checkout"),
    path("checkout/confirm/", buying.returned, name="checkout-return"),
    path("checkout/confirm/status/", buying.status, name="checkout-status"),
    path("checkout/canceled/", buying.canceled, name="checkout-canceled"),
    path("invoices/", records.invoices, name="invoices"),
    path("invoices/<uuid:invoice_id>/", records.invoice, name="invoice"),
    path("orders/", records.orders, name="orders"),
    path("orders/<uuid:order_id>/", records.order, name="order"),
    path("orders/<uuid:order_id>/cancel/", records.cancel_order, name="order-cancel"),
    path("stripe/webhook/<uuid:endpoint_id>/", stripe_webhook, name="stripe-webhook"),
]
