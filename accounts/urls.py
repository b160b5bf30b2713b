from django.urls import path, re_path

from accounts.views import arrival, audit, closing, email, keys, members, passwords, security, settings

urlpatterns = [
    path("accounts/signup/", arrival.SignUp.as_view(), name="account_signup"),
    path("accounts/confirm-email/", arrival.MailSent.as_view(), name="account_email_verification_sent"),
    # Instead of allauth's form, in which a person could type an address that no provider has confirmed:
    path("accounts/3rdparty/signup/", arrival.social_sign_up, name="socialaccount_signup"),
    path("accounts/email/", email.Email.as_view(), name="account_email"),
    path("accounts/email/withdraw/", email.withdraw_change, name="email-change-withdraw"),
    path("accounts/email/send-again/", email.mail_again, name="email-mail-again"),
    path("accounts/confirm-email/<str:token>/", email.ConfirmAddress.as_view(), name="account_confirm_email"),
    path("email-changes/<str:token>/confirm/", email.ConfirmChange.as_view(), name="email-change-confirm"),
    path("email-changes/<str:token>/answer/", email.AnswerChange.as_view(), name="email-change-answer"),
    path("email-changes/<str:token>/undo/", email.UndoChange.as_view(), name="email-change-undo"),
    re_path(
        r"^accounts/password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        passwords.ResetPassword.as_view(),
        name="account_reset_password_from_key",
    ),
    path("verify-email/", arrival.verify_email, name="verify-email"),
    path("invitations/<str:token>/", arrival.invitation, name="invitation"),
    path("api-keys/", keys.index, name="api-keys"),
    path("api-keys/new/", keys.create, name="api-key-new"),
    path("api-keys/<uuid:key_id>/rotate/", keys.rotate, name="api-key-rotate"),
    path("api-keys/<uuid:key_id>/revoke/", keys.revoke, name="api-key-revoke"),
    path("members/", members.index, name="members"),
    path("members/invite/", members.invite, name="member-invite"),
    path("members/invitations/<uuid:invitation_id>/withdraw/", members.withdraw, name="invitation-withdraw"),
    path("members/<uuid:user_id>/", members.member, name="member"),
    path("members/<uuid:user_id>/remove/", members.remove, name="member-remove"),
    path("audit/", audit.index, name="audit"),
    path("settings/", settings.organization, name="settings"),
    path("settings/profile/", settings.profile, name="profile"),
    path("settings/profile/close/", closing.CloseAccount.as_view(), name="close-account"),
    path("settings/profile/keep/", closing.keep_account, name="keep-account"),
    path("account-closing/<str:token>/", closing.KeepByLink.as_view(), name="account-keep"),
    path("settings/security/", settings.security, name="security"),
    path("settings/security/activity/", security.activity, name="security-activity"),
    path("settings/security/api-log-ins/end/", settings.end_api_log_ins, name="end-api-log-ins"),
    path("organizations/switch/", settings.switch_organization, name="switch_organization"),
    path("organizations/new/", settings.new_organization, name="organization-new"),
]
