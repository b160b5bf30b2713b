"""The organization's API plan: what it is, what a change costs, change, cancel, resume; checkout and portal."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Scope
from billing import serializers
from billing.api.requests import now_of, organization_of, parsed, user_of
from billing.catalog import plans
from billing.customers import hosted_portal
from billing.models import Subscription
from billing.selling import cancellations, checkout, overview, subscriptions
from billing.selling.idempotency import CREATED, OK, call_once
from metering.quotas import quota_status
from superagent.foundation.views import ApiView


@extend_schema(tags=["billing"])
class PlanSubscription(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_subscription_get",
        summary="Get the API plan",
        description="The plan in force; without a paid one, `free`.",
        responses=serializers.PlanSubscriptionResponse,
    )
    def get(self, request: Request) -> Response:
        return Response(_plan_answer(request))


@extend_schema(tags=["billing"])
class Preview(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_subscription_preview",
        summary="Preview a change of plan",
        description="What the change would cost now and at the next renewal. Changes nothing.",
        request=serializers.PlanChoiceRequest,
        responses=serializers.PreviewResponse,
    )
    def post(self, request: Request) -> Response:
        body = parsed(request, serializers.PlanChoiceRequest)
        shown = subscriptions.preview_plan(
            organization=organization_of(request),
            plan=body["plan"],
            interval=body["interval"],
            now=now_of(request),
        )
        return Response(serializers.PreviewResponse(shown).data)


@extend_schema(tags=["billing"])
class Change(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_subscription_change",
        summary="Change the API plan",
        description=(
            "A larger plan is in force at once and charged now; a smaller one, or a shorter interval, when "
            "the paid period ends. Send `effective_at` of a preview for its very amounts, and "
            "`max_amount_due` to be refused a higher one."
        ),
        request=serializers.ChangePlanRequest,
        responses=serializers.PreviewResponse,
    )
    def post(self, request: Request) -> Response:
        body = parsed(request, serializers.ChangePlanRequest)

        def call(asked_at: datetime) -> tuple[int, Any]:
            done = subscriptions.change_plan(
                organization=organization_of(request),
                user=user_of(request),
                plan=body["plan"],
                interval=body["interval"],
                previewed_at=body["effective_at"] or asked_at,
                max_amount_due=body["max_amount_due"],
                now=now_of(request),
            )
            return OK, serializers.PreviewResponse(done).data

        return call_once(request, "POST billing/subscription/change", call)


@extend_schema(tags=["billing"])
class Cancel(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_subscription_cancel",
        summary="Cancel the API plan",
        description="With the paid period, or at once.",
        request=serializers.CancelPlanRequest,
        responses=serializers.PlanSubscriptionResponse,
    )
    def post(self, request: Request) -> Response:
        body = parsed(request, serializers.CancelPlanRequest)

        def call(asked_at: datetime) -> tuple[int, Any]:
            cancellations.cancel(
                subscription=_paid(request),
                at_period_end=body["at_period_end"],
                reason=body["reason"],
                now=now_of(request),
            )
            return OK, _plan_answer(request)

        return call_once(request, "POST billing/subscription/cancel", call)


@extend_schema(tags=["billing"])
class Resume(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_subscription_resume",
        summary="Resume the API plan",
        description="Takes back a cancellation, or a change, that has not come into force.",
        request=None,
        responses=serializers.PlanSubscriptionResponse,
    )
    def post(self, request: Request) -> Response:
        def call(asked_at: datetime) -> tuple[int, Any]:
            cancellations.resume(subscription=_paid(request), now=now_of(request))
            return OK, _plan_answer(request)

        return call_once(request, "POST billing/subscription/resume", call)


@extend_schema(tags=["billing"])
class CreateCheckoutSession(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_checkout_session_create",
        summary="Open a checkout for a plan",
        description=(
            "Answers with the address of Stripe's payment page. The plan is in force once it is paid."
        ),
        request=serializers.CheckoutRequest,
        responses={201: serializers.CheckoutResponse},
    )
    def post(self, request: Request) -> Response:
        body = parsed(request, serializers.CheckoutRequest)

        def call(asked_at: datetime) -> tuple[int, Any]:
            started = checkout.start_plan(
                organization=organization_of(request),
                user=user_of(request),
                plan=body["plan"],
                interval=body["interval"],
                promotion_code=body["promotion_code"],
                now=now_of(request),
            )
            return CREATED, {"session_id": started.session_id, "url": started.url}

        return call_once(request, "POST billing/create-checkout-session", call)


@extend_schema(tags=["billing"])
class CustomerPortal(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_customer_portal_get",
        summary="Open the customer portal",
        description="Answers with a short-lived address of Stripe's page for cards and billing details.",
        responses=serializers.UrlResponse,
    )
    def get(self, request: Request) -> Response:
        answer = {"url": hosted_portal.open_for(organization_of(request))}
        return Response(serializers.UrlResponse(answer, context={"request": request}).data)


@extend_schema(tags=["billing"])
class Usage(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_usage_get",
        summary="Get billable usage",
        description="What was used in the current period, and what is charged beyond the allowances.",
        responses=serializers.UsageResponse,
    )
    def get(self, request: Request) -> Response:
        found = quota_status.overview(organization_of(request), now_of(request))
        meters = [
            {
                "meter": quota.meter.slug,
                "unit": quota.meter.unit,
                "included": quota.limit,
                "used": quota.used,
                "remaining": quota.remaining,
                "overage_quantity": quota.overage_quantity,
                "overage_amount": quota.overage_amount,
                "currency": quota.currency,
            }
            for quota in found.quotas
        ]
        return Response(
            serializers.UsageResponse(
                {"period_start": found.period.start, "period_end": found.period.end, "meters": meters},
                context={"request": request},
            ).data
        )


def _paid(request: Request) -> Subscription:
    subscription = plans.subscription_of(organization_of(request))
    if subscription is None:
        raise subscriptions.NoSubscription
    return subscription


def _plan_answer(request: Request) -> Any:
    facts = overview.plan_facts(organization=organization_of(request), now=now_of(request))
    return serializers.PlanSubscriptionResponse(facts, context={"request": request}).data
