"""Stripe's events: status, payload and replay. Endpoints never show their secret."""

import json

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin.audited import FactsAdmin, ReasonedActions
from billing.models import WebhookEndpoint, WebhookEvent
from billing.stripe import inbox
from superagent.foundation.admin import LargeList


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReasonedActions, LargeList):
    list_display = [
        "received_at",
        "type",
        "state",
        "attempts",
        "partition_key",
        "object_id",
        "due_at",
        "error",
    ]
    list_filter = ["state"]
    search_fields = ["=stripe_id", "=object_id"]
    search_help_text = _("The exact Stripe id of an event or its object.")
    fields = [
        "stripe_id",
        "type",
        "state",
        "partition_key",
        "object_id",
        ("livemode", "api_version"),
        ("attempts", "due_at"),
        ("created_at", "received_at", "finished_at"),
        "last_error",
        "pretty_payload",
    ]
    readonly_fields = ["pretty_payload"]
    actions = ["replay", "dismiss"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEvent]:
        rows = super().get_queryset(request)
        name = request.resolver_match.url_name if request.resolver_match else None
        return rows.defer("payload") if (name or "").endswith("changelist") else rows

    @admin.display(description=_("error"))
    def error(self, event: WebhookEvent) -> str:
        return event.last_error[:80]

    @admin.display(description=_("payload"))
    def pretty_payload(self, event: WebhookEvent) -> SafeString:
        return format_html('<pre tabindex="0">{}</pre>', json.dumps(event.payload, indent=2, sort_keys=True))

    @admin.action(description=_("Handle again"), permissions=["view"])
    def replay(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> None:
        def call(event: WebhookEvent, reason: str) -> bool:
            return inbox.replay(event)

        self.act(
            request,
            queryset.order_by("created_at", "id"),
            permission="billing.change_webhookevent",
            action="webhook_event.replayed",
            call=call,
        )

    @admin.action(description=_("Dismiss dead letters"), permissions=["view"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> None:
        def call(event: WebhookEvent, reason: str) -> bool:
            return inbox.dismiss(event)

        self.act(
            request,
            queryset,
            permission="billing.change_webhookevent",
            action="webhook_event.dismissed",
            call=call,
        )


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(FactsAdmin):
    list_display = ["url", "stripe_id", "api_version", "livemode", "is_active", "created_at"]
    exclude = ["secret"]
