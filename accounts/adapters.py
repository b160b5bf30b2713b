"""allauth's adapters: sign-up, mail, redirects, encryption of second factors."""

import base64
import hashlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import (
    access,
    audit,
    browsers,
    email_addresses,
    guessing,
    log_ins,
    names,
    newcomers,
    notifications,
    organizations,
    passwords,
    registration,
    throttles,
)
from accounts.credentials import InvalidCredentials
from accounts.models import User
from accounts.security_events import Kind
from superagent.foundation import tenancy
from superagent.foundation.templatetags.formats import absolute

# allauth's security notices: the subject of our mail, and its first sentence.
NOTICES = {
    "account/email/password_changed": _("Your password was changed"),
    "account/email/password_set": _("A password was set for your account"),
    "account/email/password_reset": _("Your password was reset with a link from an email"),
    "mfa/email/totp_activated": _("An authenticator app was added to your account"),
    "mfa/email/totp_deactivated": _("The authenticator app was removed from your account"),
    "mfa/email/recovery_codes_generated": _("New recovery codes were created for your account"),
    "mfa/email/webauthn_added": _("A passkey was added to your account"),
    "mfa/email/webauthn_removed": _("A passkey was removed from your account"),
    "socialaccount/email/account_connected": _("Another login was connected to your account"),
    "socialaccount/email/account_disconnected": _("A login was disconnected from your account"),
}


INACTIVE = "account_inactive"  # session key: the right password was given for an account that is closed


class AccountAdapter(DefaultAccountAdapter):
    """Sends mail through the outbox and redirects people to the page that they asked for."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Check a password at login and re-authentication, with the guessing limits. Raises ValidationError."""
        email = email_addresses.normalized(str(credentials.get("email", "")))
        user = User.objects.filter(email=email).first()
        caller = guessing.caller_of(request, user)
        try:
            with guessing.attempt(subject=email, user=user, caller=caller, kind=Kind.LOG_IN_FAILED):
                if found := super().authenticate(request, **credentials):
                    return found
                raise InvalidCredentials
        except InvalidCredentials:
            return None
        except throttles.TooManyAttempts as refusal:
            raise ValidationError(guessing.refusal_message(refusal), code=refusal.code) from None

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        if notice := NOTICES.get(template_prefix):
            notifications.send(
                template="accounts/email/security_notice",
                to=[email],
                context={
                    "notice": str(notice),
                    "at": absolute(context["timestamp"]),
                    "ip_address": context["ip"],
                    "browser": browsers.name_of(context["user_agent"]) or str(_("Unknown")),
                },
                dedupe_key=None,
            )
            return
        if template_prefix == "account/email/account_already_exists":
            newcomers.tell_of_account(email=email)
            return
        raise NotImplementedError(f"no mail is made from {template_prefix}")

    def should_send_confirmation_mail(
        self, request: HttpRequest, email_address: EmailAddress, signup: bool
    ) -> bool:
        return False  # registration sends it, in the transaction of the sign-up; logging in sends none

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        request.session[INACTIVE] = True
        response: HttpResponse = super().respond_user_inactive(request, user)
        return response

    def set_password(self, user: User, password: str) -> None:
        """Called by allauth's forms that set or change a password; they keep the current session themselves."""
        passwords.change(user=user, password=password, now=timezone.now())

    def get_client_ip(self, request: HttpRequest) -> str:
        return audit.client_address(request) or "0.0.0.0"  # noqa: S104  # an unknown address, not one to bind

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        assert isinstance(request.user, User), "has just signed up"
        return request.user.continue_to or reverse("dashboard")


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Sign-up with Google or GitHub, which creates an organization too."""

    def get_app(self, request: HttpRequest, provider: str, client_id: str | None = None) -> SocialApp:
        """Returns 404 for the pages of a provider that is not configured."""
        try:
            return super().get_app(request, provider, client_id=client_id)
        except SocialApp.DoesNotExist as nothing:
            raise Http404 from nothing

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        parts = (data.get("first_name") or "", data.get("last_name") or "")
        user.full_name = names.cleaned(data.get("name") or " ".join(parts))
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """A new user gets the address that the provider has confirmed, and cannot enter another."""
        is_sign_up = sociallogin.state.get("process") == AuthProcess.LOGIN and not sociallogin.is_existing
        if not is_sign_up:
            return
        address = email_addresses.confirmed_by_provider(sociallogin.email_addresses)
        if address is None:
            raise ImmediateHttpResponse(_stop(request, sociallogin, "socialaccount/no_address.html"))
        if email_addresses.is_taken(address.email):
            raise ImmediateHttpResponse(_stop(request, sociallogin, "socialaccount/address_taken.html"))
        sociallogin.email_addresses = [address]
        sociallogin.user.email = address.email

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        now = timezone.now()
        try:
            with tenancy.system("a new person has no organization yet"), transaction.atomic():
                user: User = super().save_user(request, sociallogin, form)
                audit.record(
                    action="user.registered",
                    actor=user,
                    target=user,
                    detail={"by": sociallogin.account.provider},
                )
                name = registration.default_organization_name(user.full_name, user.email)
                organizations.create(name=name, owner=user, now=now)
        except IntegrityError:  # a concurrent sign-up took the address or the social account
            page = _stop(request, sociallogin, "socialaccount/address_taken.html")
            raise ImmediateHttpResponse(page) from None
        return user


def _stop(request: HttpRequest, sociallogin: SocialLogin, template: str) -> HttpResponse:
    context = {"provider": sociallogin.provider.name}
    return render(request, template, context, status=HTTPStatus.CONFLICT)


class SessionsAdapter(DefaultUserSessionsAdapter):
    """“Log out other sessions” also ends API logins and remembered browsers."""

    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        super().end_sessions(sessions)
        request = context.request
        log_ins.end_all(user=request.user, now=timezone.now(), because="other sessions logged out")
        access.stay_logged_in(request)


class MfaAdapter(DefaultMFAAdapter):
    """Encrypts the secrets of second factors at rest, with a key derived from SECRET_KEY."""

    def encrypt(self, text: str) -> str:
        return _vault().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _vault().decrypt(encrypted_text.encode()).decode()


def _vault() -> MultiFernet:
    """Encrypts with SECRET_KEY; decrypts with it or one of SECRET_KEY_FALLBACKS."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(secret))) for secret in secrets])


def _derived(secret: str) -> bytes:
    return hashlib.sha256(b"accounts.mfa:" + secret.encode()).digest()
