import re
from uuid import UUID

from rest_framework import serializers

from billing.serializers import RECURRING
from licensing.models import License
from licensing.validation import Code
from superagent.foundation.serializers import KeyedRequest, PartialResponse

MAX_QUANTITY = 1_000_000
MAX_COUNT = 1_000_000_000


NONCE = re.compile(r"[\x21-\x7e]{1,128}")


class PanelRequest(serializers.Serializer):
    license_key = serializers.CharField(max_length=100)
    nonce = serializers.RegexField(
        rf"^{NONCE.pattern}\Z",
        required=False,
        allow_null=True,
        default=None,
        help_text="A new random value for each request. The signature covers it, so old responses cannot be replayed.",
        error_messages={"invalid": "Send 1 to 128 printable ASCII characters without spaces."},
    )


class AskedResponse(serializers.Serializer):
    """The request as received, for the panel to compare with the one that it sent."""

    endpoint = serializers.CharField()
    key_tail = serializers.CharField(
        allow_null=True, help_text="The last group of the license key; null if the key is malformed."
    )
    feature = serializers.CharField(allow_null=True)
    quantity = serializers.IntegerField(allow_null=True)
    fingerprint = serializers.CharField(allow_null=True)
    body_sha256 = serializers.CharField(
        allow_null=True,
        help_text="Hexadecimal SHA-256 of the raw request body.",
    )


class SignedResponse(serializers.Serializer):
    """Fields of every response of the license API, problems included."""

    asked = AskedResponse()
    nonce = serializers.CharField(allow_null=True)
    ts = serializers.IntegerField(help_text="Unix time of the signature, in seconds.")


class ValidateRequest(PanelRequest):
    feature = serializers.CharField(max_length=60, required=False, allow_null=True)
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_QUANTITY, default=1)
    fingerprint = serializers.CharField(max_length=128, required=False, allow_null=True)


class ValidatedLicenseResponse(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=License.Status.choices)
    plan = serializers.CharField(help_text="The product's slug, such as nextpanel-professional.")
    expires_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When the license stops working unless it is renewed; null is never. While a payment is overdue, the "
        "end of the payment grace period.",
    )
    suspends_at = serializers.DateTimeField(
        allow_null=True,
        help_text="Set after a failed payment: the license is suspended at this time unless it is paid.",
    )
    features = serializers.DictField(
        child=serializers.IntegerField(allow_null=True),
        help_text="Limits by feature, such as max_databases; null is unlimited.",
    )
    used = serializers.DictField(
        child=serializers.IntegerField(), help_text="Usage by feature, such as databases."
    )


class ValidateResponse(SignedResponse):
    valid = serializers.BooleanField()
    code = serializers.ChoiceField(choices=[(code.value, code.value) for code in Code])
    detail = serializers.CharField()
    feature = serializers.CharField(allow_null=True)
    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField(allow_null=True)
    remaining = serializers.IntegerField(allow_null=True)
    license = ValidatedLicenseResponse(allow_null=True)


class FeatureUsageRequest(KeyedRequest, PanelRequest):
    feature = serializers.CharField(max_length=60)
    delta = serializers.IntegerField(min_value=-MAX_QUANTITY, max_value=MAX_QUANTITY, required=False)
    used = serializers.IntegerField(min_value=0, max_value=MAX_COUNT, required=False)

    def validate(self, attrs):
        if ("delta" in attrs) == ("used" in attrs):
            raise serializers.ValidationError("Send either delta (a change) or used (your own count).")
        if attrs.get("delta") == 0:
            raise serializers.ValidationError({"delta": "Send a number other than 0."})
        return attrs


class FeatureUsageResponse(SignedResponse):
    feature = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True)


class ActivateRequest(PanelRequest):
    fingerprint = serializers.CharField(max_length=128)
    label = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")


class ServerRequest(PanelRequest):
    fingerprint = serializers.CharField(max_length=128)


class DeactivationResponse(SignedResponse):
    fingerprint = serializers.CharField()
    activations = serializers.IntegerField(help_text="Number of activated servers.")
    max_activations = serializers.IntegerField()


class ActivationResponse(SignedResponse):
    fingerprint = serializers.CharField()
    label = serializers.CharField()
    activated_at = serializers.DateTimeField()
    last_heartbeat_at = serializers.DateTimeField()
    activations = serializers.IntegerField(help_text="Number of activated servers.")
    max_activations = serializers.IntegerField()


class PublicKeyResponse(serializers.Serializer):
    keyid = serializers.CharField()
    algorithm = serializers.CharField()
    public_key = serializers.CharField(help_text="The 32 bytes of the public key in base64.")
    is_signing = serializers.BooleanField()


class PublicKeysResponse(serializers.Serializer):
    data = PublicKeyResponse(many=True)


class FeatureResponse(serializers.Serializer):
    feature = serializers.CharField(source="slug")
    action = serializers.CharField(
        allow_null=True, help_text="Null if the tier no longer includes the feature."
    )
    name = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True)


class LicenseResponse(PartialResponse):
    """A license with a masked key."""

    id = serializers.UUIDField()
    product = serializers.CharField(source="policy.product_slug")
    name = serializers.CharField(source="policy.name")
    masked_key = serializers.CharField()
    status = serializers.SerializerMethodField()
    suspension_reason = serializers.CharField(allow_blank=True)
    issued_at = serializers.DateTimeField()
    renews_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(
        source="works_until",
        allow_null=True,
        help_text="When the license stops working unless it is renewed; null is never.",
    )
    suspends_at = serializers.DateTimeField(allow_null=True)
    order = serializers.UUIDField(source="order_item.order_id", allow_null=True, default=None)
    order_item = serializers.UUIDField(source="order_item_id", allow_null=True)
    subscription = serializers.SerializerMethodField(
        help_text="The subscription that pays for it; null if staff issued it."
    )
    max_activations = serializers.IntegerField(source="activation_limit")
    features = FeatureResponse(many=True)

    def get_status(self, license_: License) -> str:
        return license_.status_at(self.context["now"]).value

    def get_subscription(self, license_: License) -> UUID | None:
        subscription = getattr(license_.order_item, "subscription", None)
        return subscription.pk if subscription else None


class LicenseWithKeyResponse(LicenseResponse):
    """A license with its key, which is null without the scope licenses:write."""

    license_key = serializers.SerializerMethodField()

    def get_license_key(self, license_: License) -> str | None:
        reveal = self.context["reveal"]
        return reveal() if reveal is not None else None


class TierChoiceRequest(serializers.Serializer):
    product = serializers.CharField(
        max_length=60,
        help_text="The slug of a license product from billing/products, such as nextpanel-business.",
    )
    interval = serializers.ChoiceField(
        choices=RECURRING,
        required=False,
        allow_null=True,
        default=None,
        help_text="Defaults to the current interval.",
    )


class ChangeTierRequest(KeyedRequest, TierChoiceRequest):
    effective_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="`effective_at` of the preview, to get the same amounts.",
    )
    max_amount_due = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The most to pay now, in minor units. A higher amount due is refused with `price_changed`.",
    )
