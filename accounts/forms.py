from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from allauth.account import forms as allauth_forms
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms as webauthn_forms
from allauth.mfa.webauthn.internal import auth as passkeys
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import get_text_list
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import (
    api_keys,
    credentials,
    email_addresses,
    guessing,
    names,
    newcomers,
    password_rules,
    passwords,
    roles,
    security_events,
    throttles,
    time_zones,
)
from accounts.charges import Charge
from accounts.models import Organization, User
from accounts.roles import Role, Scope
from accounts.security_events import Kind
from superagent.foundation import clock

PASSWORD_HINT = _("At least 10 characters. A phrase of a few words is stronger than one word with numbers.")


class NameField(forms.CharField):
    """A name that others see, in mails too: one line without links."""

    default_validators = [names.validate]


class SignUpForm(allauth_forms.SignupForm):
    """Sign-up of a user and their organization. The view passes `continue_to`."""

    full_name = NameField(
        label=_("Your name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    organization_name = NameField(
        label=_("Organization"),
        max_length=150,
        required=False,
        help_text=_("Your company or team. If left empty, we use your name. You can change it later."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ["full_name", "email", "password1", "organization_name"]

    def __init__(self, *args: Any, continue_to: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.continue_to = continue_to
        self.fields["email"].label = _("Email")
        self.fields["password1"].help_text = PASSWORD_HINT
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)

    def clean_email(self) -> str:
        """Do not check whether the address is taken: its owner is told by mail when the form is saved."""
        return email_addresses.normalized(self.cleaned_data["email"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        password, name = cleaned.get("password1"), cleaned.get("full_name")
        if password and name and not self.has_error("password1"):
            try:
                validate_password(password, User(full_name=name))
                password_rules.check_context(password, [cleaned.get("organization_name") or ""])
            except ValidationError as error:
                self.add_error("password1", error)
        return cleaned

    def save(self, request: HttpRequest) -> None:
        """Behaves the same whether the address is taken or not."""
        newcomers.sign_up(
            session=request.session,
            email=self.cleaned_data["email"],
            password=self.cleaned_data["password1"],
            full_name=self.cleaned_data["full_name"],
            organization_name=self.cleaned_data["organization_name"],
            continue_to=self.continue_to,
            now=clock.now(),
        )


class InvitedSignUpForm(forms.Form):
    """Sign-up through an invitation's link, which has proven the address."""

    full_name = NameField(
        label=_("Your name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=128,
        strip=False,
        help_text=PASSWORD_HINT,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class ResetPasswordForm(allauth_forms.ResetPasswordForm):
    """Behaves the same for every address; requests are recorded as security events."""

    def clean_email(self) -> str:
        return email_addresses.normalized(self.cleaned_data["email"])  # not whether an account has it

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        """Takes the same time for every address: the account is looked up when the mail is sent."""
        email: str = self.cleaned_data["email"]
        passwords.mail_reset_link(email=email)
        user = User.objects.filter(email=email).first()
        kind = Kind.RESET_REQUESTED if user else Kind.RESET_REFUSED
        security_events.note(kind=kind, user=user, typed_address=email)
        return email


class _LimitedGuesses:
    """Second-factor codes, with the guessing limits of the API."""

    user: User

    def clean_code(self) -> str:
        user = self.user
        caller = guessing.caller_of(context.request, user)
        subject = credentials.code_subject(user)
        try:
            with guessing.attempt(subject=subject, user=user, caller=caller, kind=Kind.CODE_FAILED):
                return super().clean_code()  # type: ignore[misc]  # of the form beside
        except throttles.TooManyAttempts as refusal:
            raise ValidationError(guessing.refusal_message(refusal), code=refusal.code) from None


class SecondStepForm(_LimitedGuesses, AuthenticateForm):
    pass


class SecondStepAgainForm(_LimitedGuesses, ReauthenticateForm):
    pass


class _NotedPasskey:
    """Records a wrong passkey as a security event of the user it names."""

    user: User | None
    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Authenticator:
        try:
            return super().clean_credential()  # type: ignore[misc]  # of the form beside
        except ValidationError as error:
            if error.code == "incorrect_code":
                claimed = self.user or _claimed(self.cleaned_data["credential"])
                security_events.note(kind=Kind.PASSKEY_FAILED, user=claimed)
            raise


def _claimed(credential: Any) -> User | None:
    """Returns the user that a passkey response names. Untrusted input."""
    try:
        return passkeys.extract_user_from_response(credential)
    except (ValidationError, AttributeError):
        return None


class PasskeyForm(_NotedPasskey, webauthn_forms.LoginWebAuthnForm):
    """Logs in with a passkey alone."""


class PasskeyStepForm(_NotedPasskey, webauthn_forms.AuthenticateWebAuthnForm):
    """A passkey as the second step."""


class PasskeyAgainForm(_NotedPasskey, webauthn_forms.ReauthenticateWebAuthnForm):
    """Re-authentication with a passkey."""


class OrganizationForm(forms.ModelForm):
    class Meta:
        model = Organization
        fields = ["name", "email"]
        help_texts = {"email": _("Invoices and billing notices are sent to this address.")}


class NewOrganizationForm(forms.Form):
    name = NameField(
        label=_("Name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "organization"})
    )


class ProfileForm(forms.Form):
    full_name = NameField(
        label=_("Your name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=time_zones.choices,
        help_text=_("For days and hours on usage pages. Billing is always in UTC."),
    )


class ChangeEmailForm(forms.Form):
    email = forms.EmailField(
        label=_("New email address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class ProofForm(forms.Form):
    """The password on the page of a mailed link, which proves the mailbox only."""

    password = forms.CharField(
        label=_("Password"),
        max_length=128,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class ResetPasswordKeyForm(allauth_forms.ResetPasswordKeyForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)

    def save(self) -> None:
        passwords.reset(user=self.user, password=self.cleaned_data["password1"], now=timezone.now())


MUST_END = _("Check the box to end this with your account, or cancel it yourself first. Nobody else could.")


class CloseAccountForm(forms.Form):
    """Confirms closing by typing the address, and agrees to the charges that end, by name."""

    end_charges = forms.BooleanField(
        required=True,
        error_messages={"required": MUST_END},
        widget=forms.CheckboxInput(attrs={"data-message": MUST_END}),
    )
    email = forms.EmailField(
        label=_("Type your email address to confirm"), widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )

    def __init__(
        self, *args: Any, user: User, charges: Sequence[Charge], may_be_more: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        if charges:
            named = [_described(charge) for charge in charges]
            if may_be_more:
                named.append(gettext("all else that only you could end"))
            self.fields["end_charges"].label = _("End %(charges)s") % {
                "charges": get_text_list(named, gettext("and"))
            }
        else:
            del self.fields["end_charges"]

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].strip().lower()
        if email != self._user.email:
            raise ValidationError(_("This is not the email address of your account."))
        return email


def _described(charge: Charge) -> str:
    if charge.ends_at is None:
        return gettext("%(name)s now") % {"name": charge.name}
    return gettext("%(name)s on %(date)s") % {
        "name": charge.name,
        "date": date_format(charge.ends_at, "M j, Y"),
    }


class InvitationForm(forms.Form):
    email = forms.EmailField(label=_("Email"), max_length=254)
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.VIEWER)

    def __init__(self, *args: Any, by_role: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _offer_roles(self, by_role)


class RoleForm(forms.Form):
    """Shows the choice about API keys only if the member has created some."""

    role = forms.ChoiceField(label=_("Role"), choices=Role.choices)
    revoke_keys = forms.BooleanField(
        label=_("Revoke API keys that have more access than the new role"),
        required=False,
        initial=True,
    )

    def __init__(self, *args: Any, by_role: str, key_names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _offer_roles(self, by_role)
        if key_names:
            self.fields["revoke_keys"].help_text = _("Created by this member: %(names)s.") % {
                "names": ", ".join(key_names)
            }
        else:
            del self.fields["revoke_keys"]


def _offer_roles(form: forms.Form, by_role: str) -> None:
    """Limit the choices to roles that a member with `by_role` may give."""
    role = cast(forms.ChoiceField, form.fields["role"])
    role.choices = [(value, label) for value, label in Role.choices if roles.may_give(by_role, value)]


class ApiKeyForm(forms.Form):
    """Defaults to the scopes that most programs need, and 90 days."""

    LIFETIMES = [
        ("7", _("7 days")),
        ("30", _("30 days")),
        ("90", _("90 days")),
        ("365", _("One year")),
        ("never", _("Never expires")),
    ]

    name = NameField(
        label=_("Name"), max_length=100, help_text=_("What uses the key, such as “billing server”.")
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        help_text=_("API keys can never manage members."),
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=[Scope.USAGE_WRITE, Scope.QUOTAS_READ],
        error_messages={"required": _("Choose at least one scope.")},
    )
    lifetime = forms.ChoiceField(
        label=_("Expires after"),
        choices=LIFETIMES,
        required=False,
        initial=str(api_keys.PORTAL_LIFETIME.days),
    )

    def __init__(self, *args: Any, role: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        allowed = roles.SCOPES_OF_ROLE[role]
        scopes = cast(forms.MultipleChoiceField, self.fields["scopes"])
        scopes.choices = [
            (scope.value, f"{scope.label} ({scope.value})") for scope in Scope if scope in allowed
        ]

    def expires_at(self) -> datetime | None:
        """Real time: test clocks do not apply to credentials."""
        lifetime: str = self.cleaned_data["lifetime"]
        return None if lifetime == "never" else timezone.now() + timedelta(days=int(lifetime))


class RotateForm(forms.Form):
    GRACES = [
        ("0", _("Stops working now")),
        ("900", _("Works for 15 more minutes")),
        ("3600", _("Works for 1 more hour")),
        ("21600", _("Works for 6 more hours")),
        ("86400", _("Works for 24 more hours")),
    ]
    grace_seconds = forms.ChoiceField(label=_("The old key"), choices=GRACES, initial="3600")


class AuditFilter(forms.Form):
    """Filters of the audit trail, kept in the page's query string."""

    ABOUT = [
        ("", _("Everything")),
        ("api_key", _("API keys")),
        ("member", _("Members")),
        ("invitation", _("Invitations")),
        ("organization", _("Organization")),
        ("subscription", _("Plan and billing")),
        ("license", _("Licenses")),
    ]
    about = forms.ChoiceField(label=_("About"), choices=ABOUT, required=False)
    q = forms.CharField(label=_("Actor or target"), max_length=100, required=False)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
