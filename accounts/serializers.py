from typing import Any

from rest_framework import serializers

from accounts import names
from accounts.models import ApiKey, Invitation, Membership, Organization, User
from accounts.roles import Role, Scope
from superagent.foundation.serializers import KeyedRequest, PartialResponse

REVOKE_BEYOND = "With `role`: revoke API keys that the member created and that exceed the new role."


class NameField(serializers.CharField):
    """A name that others see, in mails too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators.append(names.validate)


# --- login


class RegisterRequest(serializers.Serializer):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=128, trim_whitespace=False, style={"input_type": "password"})
    full_name = NameField(max_length=150)
    organization_name = NameField(max_length=150, required=False, default="", allow_blank=True)


class LoginRequest(serializers.Serializer):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=128, trim_whitespace=False, style={"input_type": "password"})
    otp = serializers.CharField(
        max_length=20,
        required=False,
        default="",
        allow_blank=True,
        help_text="A code of the authenticator app, or a recovery code. Required for accounts with two-step login.",
    )


class RefreshRequest(serializers.Serializer):
    refresh_token = serializers.CharField(max_length=2000)


class TokenResponse(serializers.Serializer):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds until the access token expires.")


# --- people


class OrganizationReferenceResponse(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


class RegisteredResponse(serializers.Serializer):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    full_name = serializers.CharField()
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    organization = OrganizationReferenceResponse(allow_null=True)
    stripe_customer_id = serializers.CharField(
        allow_null=True, help_text="Null until the customer has been created at Stripe."
    )


class MeResponse(PartialResponse, RegisteredResponse):
    is_email_verified = serializers.BooleanField()
    role = serializers.ChoiceField(choices=Role.choices, allow_null=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))


class UpdateMeRequest(serializers.Serializer):
    full_name = NameField(max_length=150, required=False)


class UserResponse(PartialResponse, serializers.ModelSerializer):
    """A member of the organization as a user."""

    role = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ["id", "email", "full_name", "is_active", "role", "created_at"]

    def get_role(self, user: Any) -> str:
        return str(user.role_here)  # annotated by the view


class UpdateUserRequest(serializers.Serializer):
    full_name = NameField(max_length=150, required=False, help_text="Only for yourself.")
    role = serializers.ChoiceField(
        choices=Role.choices, required=False, help_text="Requires the scope organization:write."
    )
    revoke_keys = serializers.BooleanField(default=True, help_text=REVOKE_BEYOND)


# --- organizations


class OrganizationResponse(PartialResponse, serializers.ModelSerializer):
    class Meta:
        model = Organization
        fields = ["id", "name", "email", "livemode", "created_at"]


class CreateOrganizationRequest(KeyedRequest):
    name = NameField(max_length=150)


class UpdateOrganizationRequest(serializers.Serializer):
    name = NameField(max_length=150, required=False)
    email = serializers.EmailField(max_length=254, required=False)


class MemberResponse(PartialResponse, serializers.ModelSerializer):
    user_id = serializers.UUIDField(read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    full_name = serializers.CharField(source="user.full_name", read_only=True)

    class Meta:
        model = Membership
        fields = ["user_id", "email", "full_name", "role", "created_at"]


class UpdateMemberRequest(serializers.Serializer):
    role = serializers.ChoiceField(choices=Role.choices, required=False)
    revoke_keys = serializers.BooleanField(default=True, help_text=REVOKE_BEYOND)


class RemoveMemberQuery(serializers.Serializer):
    """Query parameters of removing a member."""

    revoke_keys = serializers.BooleanField(
        default=True, help_text="Revoke API keys that the member created, directly or with another key."
    )


class InvitationResponse(PartialResponse, serializers.ModelSerializer):
    status = serializers.SerializerMethodField()
    invited_by = serializers.EmailField(
        source="invited_by.email", allow_null=True, default=None, read_only=True
    )

    class Meta:
        model = Invitation
        fields = ["id", "email", "role", "status", "invited_by", "created_at", "expires_at", "accepted_at"]

    def get_status(self, invitation: Invitation) -> str:
        return invitation.status


class CreateInvitationRequest(KeyedRequest):
    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=Role.choices)


# --- API keys


class ApiKeyResponse(PartialResponse, serializers.ModelSerializer):
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    status = serializers.SerializerMethodField()
    created_by = serializers.EmailField(
        source="created_by.email", allow_null=True, default=None, read_only=True
    )

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "name",
            "prefix",
            "last_four",
            "scopes",
            "status",
            "created_by",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ]

    def get_status(self, key: ApiKey) -> str:
        return key.status


class CreateApiKeyRequest(KeyedRequest):
    name = NameField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), min_length=1, max_length=len(Scope)
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class RotateApiKeyRequest(KeyedRequest):
    grace_seconds = serializers.ChoiceField(
        choices=[0, 900, 3_600, 21_600, 86_400], default=0, help_text="How long the old key keeps working."
    )


class NewApiKeyResponse(ApiKeyResponse):
    key = serializers.CharField(
        allow_null=True,
        help_text="The plain-text key, returned once. The same request with the same Idempotency-Key returns it again "
        "for a day, then null.",
    )

    class Meta(ApiKeyResponse.Meta):
        fields = [*ApiKeyResponse.Meta.fields, "key"]
