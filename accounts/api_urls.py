from django.urls import path

from accounts.api import keys, log_in, organizations, people

ORGANIZATION = "organizations/<uuid:organization_id>"

urlpatterns = [
    path("auth/register", log_in.Register.as_view(), name="api-register"),
    path("auth/login", log_in.Login.as_view(), name="api-login"),
    path("auth/refresh", log_in.Refresh.as_view(), name="api-refresh"),
    path("auth/logout", log_in.Logout.as_view(), name="api-logout"),
    path("auth/me", people.Me.as_view(), name="api-me"),
    path("users/me", people.UsersMe.as_view(), name="api-users-me"),
    path("users", people.Users.as_view(), name="api-users"),
    path("users/<uuid:user_id>", people.UserDetail.as_view(), name="api-user"),
    path("organizations", organizations.Organizations.as_view(), name="api-organizations"),
    path(ORGANIZATION, organizations.OrganizationDetail.as_view(), name="api-organization"),
    path(f"{ORGANIZATION}/members", organizations.Members.as_view(), name="api-members"),
    path(f"{ORGANIZATION}/members/<uuid:user_id>", organizations.Member.as_view(), name="api-member"),
    path(f"{ORGANIZATION}/invitations", organizations.Invitations.as_view(), name="api-invitations"),
    path(
        f"{ORGANIZATION}/invitations/<uuid:invitation_id>",
        organizations.InvitationDetail.as_view(),
        name="api-invitation",
    ),
    path(
        "organizations/<uuid:inviting_organization_id>/invitations/<uuid:invitation_id>/accept",
        organizations.AcceptInvitation.as_view(),
        name="api-invitation-accept",
    ),
    path("api-keys", keys.ApiKeys.as_view(), name="api-keys-api"),
    path("api-keys/<uuid:key_id>", keys.ApiKeyDetail.as_view(), name="api-key-api"),
    path("api-keys/<uuid:key_id>/rotate", keys.RotateApiKey.as_view(), name="api-key-rotate-api"),
    path("api-keys/<uuid:key_id>/revoke", keys.RevokeApiKey.as_view(), name="api-key-revoke-api"),
]
