"""An example of every body, answer and parameter, made from the schema by the names of its fields.

One customer's day: Acme on the plan Pro, its owner Ada, a key for its server, a license for its control panel. A test
holds every example against its schema.
"""

from typing import Any

from superagent.foundation.schema import CHOICES, resolve

ACME = "019a9c3e-5b1f-7c2a-9d4e-1f2a3b4c5d6e"
ADA = "019a9c3e-61aa-7d10-8c3b-2a4b6c8d0e1f"
KEY = "019a9c40-0f3d-7e5b-a1c2-3d4e5f607182"
OBJECT = "019a9c41-7c8e-7f60-b2d3-4e5f60718293"
REQUEST = "019a9c42a91f7062b3d44e5f60718293"
BEGIN, NOW, END = "2026-11-01T09:30:00Z", "2026-11-21T14:05:31Z", "2026-12-01T09:30:00Z"
LICENSE_KEY = "NP-7KQ2M-X4H9T-P3WZC-V8RBD-6JNFY"

VALUES: dict[str, Any] = {
    "id": OBJECT, "organization_id": ACME, "inviting_organization_id": ACME, "user_id": ADA, "user": ADA,
    "order": OBJECT, "order_item": OBJECT, "subscription": OBJECT,
    "key_id": KEY, "api_key": KEY, "api_key_id": KEY, "invitation_id": OBJECT, "order_id": OBJECT,
    "subscription_id": OBJECT, "license_id": OBJECT, "request_id": REQUEST, "event_id": "chat-2026-11-21-000017",
    # people and organizations
    "email": "ada@acme.example", "created_by": "ada@acme.example", "invited_by": "ada@acme.example",
    "full_name": "Ada Lovelace", "organization_name": "Acme", "password": "correct horse battery", "otp": "492039",
    "name": "Acme", "role": "owner", "revoke_keys": True, "is_active": True, "livemode": False,
    "is_email_verified": True, "stripe_customer_id": "cus_TKz3q9Yc1hVb2d",
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTlhOWMzZSJ9.Qk3sO0bq", "token_type": "bearer",
    "refresh_token": "eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoicmVmcmVzaCJ9.m2vX9a1c", "expires_in": 1800,
    "prefix": "sa_test_4fK9", "last_four": "Zt8Q", "key": "sa_test_4fK9mQ2xVb7Lw1Rj5Tn8Yc3Hs6Dp0Gz4Eu9Zt8Q",
    "scopes": ["usage:write", "quotas:read"], "grace_seconds": 3600, "idempotency_key": "3f0c2a7e-nightly-key",
    # moments
    "start": BEGIN, "end": END, "period_start": BEGIN, "period_end": END, "current_period_start": BEGIN,
    "current_period_end": END, "created_at": BEGIN, "started_at": BEGIN, "issued_at": BEGIN, "paid_at": NOW,
    "occurred_at": NOW, "voided_at": NOW, "effective_at": NOW, "last_used_at": NOW, "activated_at": BEGIN,
    "last_heartbeat_at": NOW, "resets_at": END, "renews_at": END, "expires_at": END, "ts": 1795269931,
    "created_at__gte": BEGIN, "created_at__lt": END, "revoked_at": None, "accepted_at": None, "ended_at": None,
    "trial_end": None, "suspends_at": None, "pending_change": None,
    # usage
    "meter": "ai_tokens", "unit": "tokens", "quantity": 1200, "source": "api", "properties": {"model": "small"},
    "accepted": 1, "duplicates": 0, "rejected": [], "index": 0, "pointer": "/meter", "event_name": "ai.tokens",
    "aggregation": "sum", "value_property": "tokens", "specversion": "1.0", "type": "ai.tokens", "time": NOW,
    "data": {"tokens": 1200},
    "total_calls": 1284, "successful_calls": 1279, "failed_calls": 5, "success_rate": 0.996106, "p50_ms": 21.4,
    "p95_ms": 88.0, "calls": 1284, "endpoint": "/api/v1/usage/events", "path": "/api/v1/usage/events",
    "method": "POST", "duration_ms": 23.7, "request_bytes": 96, "response_bytes": 43, "is_counted": True,
    "by": "meter", "included": 1000000, "used": 1200, "remaining": 998800, "limit": 1000000, "hard": False,
    "overage_quantity": 0, "overage_amount": 0, "allowed": True, "failed": False,
    # money
    "plan": "pro", "slug": "pro", "interval": "month", "currency": "usd", "unit_amount": 2900, "trial_days": 14,
    "version": 1, "features": ["Email support"], "credits": 1000000, "overage_rate": "0.0002", "url":
    "https://checkout.stripe.com/c/pay/cs_test_a1b2c3", "session_id": "cs_test_a1b2c3", "promotion_code": "LAUNCH20",
    "checkout_url": "https://checkout.stripe.com/c/pay/cs_test_a1b2c3", "max_total": 1900, "max_amount_due": 2900,
    "amount_due": 2900, "credit": 0, "renewal_amount": 2900, "at_once": True, "proration": False, "amount": 2900,
    "subtotal": 2900, "discount": 0, "tax": 0, "total": 2900, "amount_paid": 2900, "amount_refunded": 0,
    "number": "ACME-0007", "hosted_url": "https://invoice.stripe.com/i/acct_1/test_1", "pdf_url":
    "https://invoice.stripe.com/i/acct_1/test_1/pdf", "description": "Pro, monthly", "failure_code": "",
    "failure_message": "", "failure": "", "card_brand": "visa", "card_last_four": "4242", "payment": "checkout",
    "cancel_at_period_end": False, "at_period_end": True, "reason": "We build it ourselves now.",
    "product": "nextpanel-professional", "product__slug": "nextpanel-professional", "options": {"interval": "month"},
    # licenses
    "license_key": LICENSE_KEY, "masked_key": "NP-•••••-6JNFY", "key_tail": "6JNFY", "nonce": "q7Tz0pLw4n",
    "feature": "create_database", "fingerprint": "8c1f0e2d4b6a", "label": "web-1", "delta": 1, "valid": True,
    "body_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "activations": 1,
    "max_activations": 3, "suspension_reason": "", "action": "create_database", "keyid": "9d2c41e8",
    "algorithm": "Ed25519", "public_key": "kC3vT0qjZ1bq5mXn8c7yq2hH0iYw0l3m2nJ4o6p8q0s=", "is_signing": True,
    # lists and problems
    "cursor": "cD0wMTlhOWM0MQ==", "next": None, "previous": None, "status": "active", "code": "VALID",
    "title": "Some fields are invalid", "detail": "The license allows it.",
}  # fmt: skip

SPECIAL: dict[tuple[str, str], Any] = {
    ("CreateApiKeyRequest", "name"): "Server", ("ApiKeyResponse", "name"): "Server",
    ("NewApiKeyResponse", "name"): "Server",
    ("CreateApiKeyRequest", "expires_at"): "2027-11-21T00:00:00Z", ("RequestRecordResponse", "status"): 200,
    ("PlanResponse", "name"): "Pro", ("PlanResponse", "description"): "For products with customers of their own.",
    ("PackResponse", "slug"): "tokens-1m", ("ProductResponse", "slug"): "nextpanel-professional",
    ("ProductResponse", "name"): "NextPanel Professional", ("LicenseResponse", "name"): "NextPanel Professional",
    ("LicenseWithKeyResponse", "name"): "NextPanel Professional", ("ProductResponse", "description"):
    "50 databases, 25 domains, 100 email accounts.", ("MeterResponse", "name"): "AI tokens",
    ("FeatureResponse", "name"): "Databases", ("FeatureResponse", "feature"): "databases",
    ("AskedResponse", "endpoint"): "validate", ("AskedResponse", "quantity"): 1, ("ValidateRequest", "quantity"): 1,
    ("PointResponse", "key"): "ai_tokens", ("QuotaCheckResponse", "code"): "",
    ("CreateInvitationRequest", "role"): "developer",
    ("CreateInvitationRequest", "email"): "grace@acme.example", ("InvitationResponse", "email"): "grace@acme.example",
    ("InvitationResponse", "role"): "developer", ("InvitationResponse", "status"): "open",
    ("PatchedUpdateMemberRequest", "role"): "developer", ("PatchedUpdateUserRequest", "role"): "developer",
    ("InvoiceResponse", "status"): "paid", ("InvoiceLineResponse", "quantity"): 1,
    ("PaymentResponse", "status"): "succeeded", ("SubscribeResponse", "status"): "pending",
    ("OrderResponse", "status"): "pending", ("OrderResponse", "total"): 1900, ("OrderResponse", "paid_at"): None,
    ("OrderItemResponse", "status"): "pending", ("OrderItemResponse", "unit_amount"): 1900,
    ("ProductResponse", "kind"): "license", ("ValidatedLicenseResponse", "plan"): "nextpanel-professional",
    ("ValidatedLicenseResponse", "features"): {"max_databases": 50, "max_domains": 25, "max_emails": 100},
    ("ValidatedLicenseResponse", "used"): {"databases": 12, "domains": 4, "emails": 31},
    ("OrganizationReferenceResponse", "id"): ACME, ("OrganizationResponse", "id"): ACME, ("MeResponse", "id"): ADA,
    ("RegisteredResponse", "id"): ADA, ("UserResponse", "id"): ADA, ("ApiKeyResponse", "id"): KEY,
    ("NewApiKeyResponse", "id"): KEY, ("SeriesResponse", "interval"): "day",
    ("usage_requests_list", "status"): 503, ("CloudEvent", "source"): "/chat",
    ("CloudEvent", "id"): "chat-2026-11-21-000017",
}  # fmt: skip
for _name in ("FeatureResponse", "FeatureUsageResponse", "ValidateResponse"):
    SPECIAL |= {(_name, "limit"): 50, (_name, "used"): 12, (_name, "remaining"): 38}

LEFT_OUT = {("FeatureUsageRequest", "used"), ("EventRequest", "idempotency_key")}
"""Fields that the example does without: the other of two, and keys that the header carries as well."""


def add(document: dict[str, Any], operation: dict[str, Any]) -> None:
    """Give `operation` an example of its body, its good answers and its parameters."""
    for part in (operation.get("requestBody", {}), *_good(operation)):
        for kind, content in part.get("content", {}).items():
            if "json" in kind:
                content["example"] = of(document, content["schema"])
    for parameter in operation.get("parameters", []):
        parameter["example"] = of_parameter(document, parameter, operation["operationId"])


def of(document: dict[str, Any], schema: dict[str, Any], name: str = "", owner: str = "") -> Any:
    """An example of `schema`, which is the field `name` of the component `owner`."""
    if (owner, name) in SPECIAL:
        return SPECIAL[owner, name]
    component = schema.get("$ref", "").rpartition("/")[2]
    node = resolve(document, schema)
    if "properties" in node:
        return {
            field: of(document, inner, field, component)
            for field, inner in node["properties"].items()
            if field != "idempotency_key" and (component, field) not in LEFT_OUT
        }
    if "items" in node and (name not in VALUES or "properties" in resolve(document, node["items"])):
        return [] if name == "rejected" else [of(document, node["items"], owner=component)]
    for choice in ("allOf", "oneOf", "anyOf"):
        if choice in node and name not in VALUES:
            return of(document, node[choice][0], name, component)
    if name in VALUES:
        return VALUES[name]
    return _by_kind(node, name)


def _by_kind(node: dict[str, Any], name: str) -> Any:
    """For a name that nobody thought of."""
    if "default" in node or "enum" in node:
        return node.get("default", node.get("enum", [None])[0])
    kind = node["type"][0] if isinstance(node.get("type"), list) else node.get("type")
    if kind == "string":
        return {"uuid": OBJECT, "date-time": NOW, "uri": VALUES["url"]}.get(node.get("format", ""), name)
    if kind in ("integer", "number"):
        return max(1, node.get("minimum", 1))
    return {"boolean": True, "object": {}, "array": []}.get(kind or "")


def of_parameter(document: dict[str, Any], parameter: dict[str, Any], operation_id: str) -> Any:
    schema = parameter["schema"]
    if (operation_id, parameter["name"]) in SPECIAL:
        return SPECIAL[operation_id, parameter["name"]]
    if CHOICES in parameter:
        return ",".join(parameter[CHOICES][:2])
    if parameter["in"] == "header":
        return {"X-Organization-Id": ACME, "Idempotency-Key": "3f0c2a7e-nightly-key"}.get(
            parameter["name"], '"a1b2c3"'
        )
    if "default" not in schema and "enum" not in resolve(document, schema) and parameter["name"] in VALUES:
        return VALUES[parameter["name"]]
    return _by_kind(resolve(document, schema), parameter["name"])


def _good(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [response for status, response in operation["responses"].items() if status.startswith("2")]
