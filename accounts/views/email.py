"""The page of a user's email address, and the pages of its mailed links: confirm, approve, refuse, undo."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.decorators import reauthentication_required
from allauth.account.utils import perform_login
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required, login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache

from accounts import (
    access,
    email_addresses,
    email_changes,
    mail_links,
    memberships,
    newcomers,
    people,
    registration,
    roles,
    throttles,
)
from accounts import verification as verifications
from accounts.access import PersonRequest
from accounts.forms import ChangeEmailForm, ProofForm
from accounts.models import EmailChange, Organization, User
from accounts.revocation import Keep
from accounts.roles import Scope
from accounts.views.signup import MAILED_BEFORE
from superagent.foundation import tenancy
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal


@method_decorator(never_cache, name="dispatch")
@method_decorator(login_required, name="dispatch")
class Email(View):
    """Shows the address and a pending change, and takes a request for one."""

    request: PersonRequest

    def get(self, request: PersonRequest) -> HttpResponse:
        return self._page(ChangeEmailForm())

    @method_decorator(reauthentication_required)
    def post(self, request: PersonRequest) -> HttpResponse:
        form = ChangeEmailForm(request.POST)
        if form.is_valid():
            try:
                throttles.consume(name="email_change", ident=str(request.user.pk))
                change = email_changes.ask(
                    user=request.user, new_email=form.cleaned_data["email"], now=timezone.now()
                )
            except Refusal as refusal:
                form.add_error("email", refusal.errors[0].detail if refusal.errors else refusal.detail)
            else:
                text = _("We sent an email to %(email)s. Open its link to confirm the address.")
                if change.needs_old_address:
                    text = _("We sent emails to %(email)s and %(old)s. Open the link in both.")
                messages.success(request, text % {"email": change.new_email, "old": change.old_email})
                return redirect("account_email")
        return self._page(form)

    def _page(self, form: ChangeEmailForm) -> HttpResponse:
        user = self.request.user
        context = {
            "form": form,
            "is_confirmed": email_addresses.is_confirmed(user),
            "change": email_changes.pending(user=user, now=timezone.now()),
            "lifetime_days": EmailChange.LIFETIME.days,
            "undo_days": EmailChange.UNDO_PERIOD.days,
            "billed_elsewhere": _billed_elsewhere(user),
        }
        return render(self.request, "account/email.html", context, status=422 if form.errors else 200)


def _billed_elsewhere(user: User) -> list[Organization]:
    """Returns organizations billed at another address that the user may change: it does not follow the user's own.

    At most MENU_SIZE.
    """
    with tenancy.system("all organizations of a person"):
        found = (
            memberships.of_user(user)
            .filter(role__in=roles.roles_with(Scope.ORGANIZATION_WRITE))
            .exclude(organization__email=user.email)
        )
        return [membership.organization for membership in found[: memberships.MENU_SIZE]]


@login_required
@post_only(page="account_email")
def withdraw_change(request: PersonRequest) -> HttpResponse:
    if email_changes.withdraw(user=request.user, now=timezone.now()):
        messages.success(request, _("The change was withdrawn. Your address stays the same."))
    return redirect("account_email")


@login_required
@post_only(page="account_email")
def mail_again(request: PersonRequest) -> HttpResponse:
    """Send the links of the pending change again, or else the confirmation link."""
    user = request.user
    is_mailed = throttles.allows(name="email_link", ident=str(user.pk)) and (
        email_changes.mail_again(user=user, now=timezone.now())
        or email_addresses.is_confirmed(user)
        or registration.send_verification(user=user, dedupe_key=None)
    )
    if is_mailed:
        messages.success(request, _("We sent the email again."))
    else:
        messages.info(request, MAILED_BEFORE)
    return redirect("account_email")


class MailedLink(View):
    """Base of pages of mailed links. A POST makes the change, because mail programs open links on their own."""

    template_name = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().dispatch(request, *args, **kwargs)
        except Refusal as refusal:
            return render(request, "account/link_gone.html", {"refusal": refusal}, status=refusal.status)

    def page(self, *, status: int = 200, **context: Any) -> HttpResponse:
        return render(self.request, self.template_name, context, status=status)


class ProvenLink(MailedLink):
    """A mailed link, which proves access to the mailbox only; the reader must also prove that the account is theirs.

    That is a login, a sign-up in this browser, or the password, which logs them in.
    """

    template_name = "account/email_confirm.html"

    def subject(self, token: str) -> tuple[User, str]:
        """Returns the account, and the address that the link confirms. Raises Refusal."""
        raise NotImplementedError

    def confirm(self, user: User, keep: Keep) -> tuple[str, str]:
        """Make the domain call and refresh `user`. Returns the message, and the page to go to."""
        raise NotImplementedError

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        user, email = self.subject(token)
        return self._page(user, email, ProofForm())

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        user, email = self.subject(token)
        form = ProofForm(request.POST)
        if not self._has_proven_account(user) and not self._knows_password(form, user):
            return self._page(user, email, form)
        if request.user == user:
            text, following = self.confirm(request.user, access.just_used(request))
            access.stay_logged_in(request)
            messages.success(request, text)
            return redirect(following)
        text, following = self.confirm(user, Keep())
        if request.user.is_authenticated:
            logout(request)
        newcomers.forget(request.session)
        messages.success(request, text)
        return perform_login(request, user, email_verification="none", redirect_url=following)

    def _page(self, user: User, email: str, form: ProofForm) -> HttpResponse:
        return self.page(
            status=422 if form.errors else 200,
            form=form,
            email=email,
            is_proven=self._has_proven_account(user),
            has_password=user.has_usable_password(),
            is_someone_else=self.request.user.is_authenticated and self.request.user != user,
        )

    def _has_proven_account(self, user: User) -> bool:
        return self.request.user == user or newcomers.has_signed_up(self.request.session, user)

    def _knows_password(self, form: ProofForm, user: User) -> bool:
        """Checks the password with allauth's adapter, which limits and records attempts."""
        if not form.is_valid():
            return False
        try:
            found = get_adapter().authenticate(
                self.request, email=user.email, password=form.cleaned_data["password"]
            )
        except ValidationError as error:
            form.add_error("password", error)
            return False
        if found is None or found.pk != user.pk:
            form.add_error("password", _("This is not the account's password."))
            return False
        return True


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class ConfirmAddress(ProvenLink):
    """Confirms the address of a sign-up."""

    def subject(self, token: str) -> tuple[User, str]:
        user = verifications.find(token)
        return user, user.email

    def confirm(self, user: User, keep: Keep) -> tuple[str, str]:
        verifications.confirm(user=user, keep=keep, now=timezone.now())
        user.refresh_from_db()
        following = people.take_continue_to(user=user) or reverse("dashboard")
        return _("%(email)s is confirmed.") % {"email": user.email}, following


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class ConfirmChange(ProvenLink):
    """Confirms the new address of a change."""

    change: EmailChange

    def subject(self, token: str) -> tuple[User, str]:
        self.change = email_changes.find(token, page=email_changes.CONFIRM, now=timezone.now())
        return self.change.user, self.change.new_email

    def confirm(self, user: User, keep: Keep) -> tuple[str, str]:
        change = email_changes.confirm(change=self.change, keep=keep, now=timezone.now())
        user.refresh_from_db()
        if change.made_at is None:
            text = _("%(new)s is confirmed. Now approve the change from %(old)s: check that mailbox.")
            return text % {"new": change.new_email, "old": change.old_email}, reverse("account_email")
        return _("Your address is now %(email)s.") % {"email": user.email}, reverse("account_email")


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class AnswerChange(MailedLink):
    """The old address approves a change, or refuses it (“this was not me”)."""

    template_name = "account/email_answer.html"

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        change = email_changes.find(token, page=email_changes.ANSWER, now=timezone.now())
        return self.page(change=change, is_refusal="not-me" in request.GET)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        now = timezone.now()
        change = email_changes.find(token, page=email_changes.ANSWER, now=now)
        if request.POST.get("answer") == "not-me":
            user = email_changes.refuse(change=change, now=now)
            messages.success(request, _("The change was stopped, and every session was logged out."))
            return redirect(mail_links.reset_password_path(user))
        change = email_changes.agree(change=change, now=now)
        return self.page(change=change, is_answered=True)


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class UndoChange(MailedLink):
    """The old address undoes a completed change."""

    template_name = "account/email_undo.html"

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        change = email_changes.find(token, page=email_changes.UNDO, now=timezone.now())
        return self.page(change=change)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        now = timezone.now()
        change = email_changes.find(token, page=email_changes.UNDO, now=now)
        user = email_changes.undo(change=change, now=now)
        messages.success(request, _("Your account uses %(email)s again.") % {"email": user.email})
        return redirect(mail_links.reset_password_path(user))
