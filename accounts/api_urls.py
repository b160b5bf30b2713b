from django.urls import path

from accounts.api import keys, log_in, organizations, people

ORGANIZATION = "organizations/<uuid:organization_id>"

urlpatterns = [
    path("auth/register", log_in.Register.as_view(), name="register"),
    path("auth/login", log_in.Login.as_view(), name="login"),
    path("auth/refresh", log_in.Refresh.as_view(), name="refresh"),
    path("auth/logout", log_in.Logout.as_view(), name="logout"),
    path("auth/me", people.Me.as_view(), name="me"),
    path("users/me", people.UsersMe.as_view(), name="users-me"),
    path("users", people.Users.as_view(), name="users"),
    path("users/<uuid:user_id>", people.UserDetail.as_view(), name="user"),
    path("organizations", organizations.Organizations.as_view(), name="organizations"),
    path(ORGANIZATION, organizations.OrganizationDetail.as_view(), name="organization"),
    path(f"{ORGANIZATION}/members", organizations.Members.as_view(), name="members"),
    path(f"{ORGANIZATION}/members/<uuid:user_id>", organizations.Member.as_view(), name="member"),
    path(f"{ORGANIZATION}/invitations", organizations.Invitations.as_view(), name="invitations"),
    path(
        f"{ORGANIZATION}/invitations/<uuid:invitation_id>",
        organizations.InvitationDetail.as_view(),
        name="invitation",
    ),
    path(
        "organizations/<uuid:inviting_organization_id>/invitations/<uuid:invitation_id>/accept",
        organizations.AcceptInvitation.as_view(),
        name="invitation-accept",
    ),
    path("api-keys", keys.ApiKeys.as_view(), name="keys"),
    path("api-keys/<uuid:key_id>", keys.ApiKeyDetail.as_view(), name="key"),
    path("api-keys/<uuid:key_id>/rotate", keys.RotateApiKey.as_view(), name="key-rotate"),
    path("api-keys/<uuid:key_id>/revoke", keys.RevokeApiKey.as_view(), name="key-revoke"),
]
