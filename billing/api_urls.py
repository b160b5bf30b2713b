from django.urls import path

from billing.api import catalog, orders, plan, records, subscriptions

urlpatterns = [
    path("billing/plans", catalog.Plans.as_view(), name="plans"),
    path("billing/products", catalog.Products.as_view(), name="products"),
    path("billing/subscription", plan.PlanSubscription.as_view(), name="plan-subscription"),
    path("billing/subscription/preview", plan.Preview.as_view(), name="plan-preview"),
    path("billing/subscription/change", plan.Change.as_view(), name="plan-change"),
    path("billing/subscription/cancel", plan.Cancel.as_view(), name="plan-cancel"),
    path("billing/subscription/resume", plan.Resume.as_view(), name="plan-resume"),
    path("billing/create-checkout-session", plan.CreateCheckoutSession.as_view(), name="checkout"),
    path("billing/customer-portal", plan.CustomerPortal.as_view(), name="customer-portal"),
    path("billing/usage", plan.Usage.as_view(), name="billing-usage"),
    path("billing/invoices", records.Invoices.as_view(), name="invoices"),
    path("billing/invoices/<uuid:pk>", records.InvoiceDetail.as_view(), name="invoice"),
    path("billing/payments", records.Payments.as_view(), name="payments"),
    path("subscriptions", subscriptions.Subscriptions.as_view(), name="subscriptions"),
    path(
        "subscriptions/<uuid:subscription_id>",
        subscriptions.SubscriptionDetail.as_view(),
        name="subscription",
    ),
    path(
        "subscriptions/<uuid:subscription_id>/resume",
        subscriptions.SubscriptionResume.as_view(),
        name="subscription-resume",
    ),
    path("orders", orders.Orders.as_view(), name="orders"),
    path("orders/<uuid:order_id>", orders.OrderDetail.as_view(), name="order"),
]
