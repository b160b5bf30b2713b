"""The organization's API plan: get, preview, change, cancel, resume; checkout and customer portal."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.response import Response

from accounts.api.requests import user_of
from accounts.authentication import ApiRequest
from accounts.roles import Scope
from billing import serializers
from billing.api import checkouts
from billing.catalog import plans
from billing.customers import hosted_portal
from billing.models import Subscription
from billing.selling import cancellations, overview, subscriptions
from metering.quotas import quota_status
from superagent.foundation import clock
from superagent.foundation.idempotency import idempotent_call
from superagent.foundation.views import ApiView, parsed_body


@extend_schema(tags=["billing"])
class PlanSubscription(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_subscription_get",
        summary="Get the API plan",
        description="The current plan; `free` without a paid one.",
        responses=serializers.PlanSubscriptionResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        return Response(_plan_answer(request))


@extend_schema(tags=["billing"])
class Preview(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_subscription_preview",
        summary="Preview a change of plan",
        description="Returns what the change would cost now and at the next renewal. Changes nothing.",
        request=serializers.PlanChoiceRequest,
        responses=serializers.PreviewResponse,
    )
    def post(self, request: ApiRequest) -> Response:
        body = parsed_body(request, serializers.PlanChoiceRequest)
        shown = subscriptions.preview_plan(
            organization=request.organization,
            plan=body["plan"],
            interval=body["interval"],
            now=clock.now(request.organization),
        )
        return Response(serializers.PreviewResponse(shown).data)


@extend_schema(tags=["billing"])
class Change(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_subscription_change",
        summary="Change the API plan",
        description=(
            "An upgrade takes effect and is charged at once; a downgrade, or a shorter interval, takes effect "
            "when the paid period ends. Send the `effective_at` of a preview to get exactly its amounts, and "
            "`max_amount_due` to refuse a higher one."
        ),
        request=serializers.ChangePlanRequest,
        responses=serializers.PreviewResponse,
    )
    @idempotent_call
    def post(self, request: ApiRequest) -> Response:
        body = parsed_body(request, serializers.ChangePlanRequest)
        done = subscriptions.change_plan(
            organization=request.organization,
            user=user_of(request),
            plan=body["plan"],
            interval=body["interval"],
            previewed_at=body["effective_at"] or request.asked_at,
            max_amount_due=body["max_amount_due"],
            now=clock.now(request.organization),
        )
        return Response(serializers.PreviewResponse(done).data)


@extend_schema(tags=["billing"])
class Cancel(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_subscription_cancel",
        summary="Cancel the API plan",
        description="At the end of the paid period, or at once.",
        request=serializers.CancelPlanRequest,
        responses=serializers.PlanSubscriptionResponse,
    )
    @idempotent_call
    def post(self, request: ApiRequest) -> Response:
        body = parsed_body(request, serializers.CancelPlanRequest)
        cancellations.cancel(
            subscription=_paid(request),
            at_period_end=body["at_period_end"],
            reason=body["reason"],
            now=clock.now(request.organization),
        )
        return Response(_plan_answer(request))


@extend_schema(tags=["billing"])
class Resume(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_subscription_resume",
        summary="Resume the API plan",
        description="Undoes a cancellation or a change that has not taken effect yet.",
        request=None,
        responses=serializers.PlanSubscriptionResponse,
    )
    @idempotent_call
    def post(self, request: ApiRequest) -> Response:
        cancellations.resume(subscription=_paid(request), now=clock.now(request.organization))
        return Response(_plan_answer(request))


@extend_schema(tags=["billing"])
class CreateCheckoutSession(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_checkout_session_create",
        summary="Open a checkout for a plan",
        description="Returns the URL of Stripe's payment page. The plan takes effect once it is paid.",
        request=serializers.CheckoutRequest,
        responses={201: serializers.CheckoutResponse},
    )
    @idempotent_call
    def post(self, request: ApiRequest) -> Response:
        opened = checkouts.open_for_plan(request)
        return Response(serializers.CheckoutResponse(opened).data, status.HTTP_201_CREATED)


@extend_schema(tags=["billing"])
class CustomerPortal(ApiView):
    required_scope = Scope.BILLING_WRITE

    @extend_schema(
        operation_id="billing_customer_portal_get",
        summary="Open the customer portal",
        description="Returns a short-lived URL of Stripe's page for cards and billing details.",
        responses=serializers.UrlResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        answer = {"url": hosted_portal.open_for(request.organization)}
        return Response(serializers.UrlResponse(answer, context={"request": request}).data)


@extend_schema(tags=["billing"])
class Usage(ApiView):
    required_scope = Scope.BILLING_READ

    @extend_schema(
        operation_id="billing_usage_get",
        summary="Get billable usage",
        description="Usage in the current period, and the overage to be charged.",
        responses=serializers.UsageResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        found = quota_status.overview(request.organization, clock.now(request.organization))
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


def _paid(request: ApiRequest) -> Subscription:
    subscription = plans.subscription_of(request.organization)
    if subscription is None:
        raise subscriptions.NoSubscription
    return subscription


def _plan_answer(request: ApiRequest) -> Any:
    facts = overview.plan_facts(organization=request.organization, now=clock.now(request.organization))
    return serializers.PlanSubscriptionResponse(facts, context={"request": request}).data
