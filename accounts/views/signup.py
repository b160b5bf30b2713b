"""Sign-up, with the plan of a pricing link; confirmation of the address; invitations."""

from typing import Any
from urllib.parse import urlencode

from allauth.account.utils import perform_login
from allauth.account.views import SignupView
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required, login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.cache import never_cache

from accounts import access, invitations, newcomers, offers, people, registration, throttles, verification
from accounts.adapters import INACTIVE
from accounts.forms import InvitedSignUpForm, SignUpForm
from accounts.models import Invitation, User
from superagent.foundation.problems import Invalid, Refusal

MAILED_BEFORE = gettext_lazy("We already sent the email. Check your spam folder, or try again later.")
CHOICES = (
    "plan",
    "product",
    "interval",
    "quantity",
    "promotion_code",
)  # of a pricing link


@method_decorator(login_not_required, name="dispatch")
class SignUp(SignupView):
    """allauth's sign-up; continues to the checkout of a pricing link's plan (`?plan=pro&interval=month`)."""

    def get_authenticated_redirect_url(self) -> str:
        """Returns the checkout of the pricing link: it also handles users who have a plan already."""
        following = access.safe_next_url(self.request.GET.get("next", "")) or _checkout(
            chosen_offer(self.request)
        )
        return following or reverse("dashboard")

    def get_form_kwargs(self) -> dict[str, Any]:
        # the form posts to the URL of the pricing link, so anonymous visitors need no session
        return super().get_form_kwargs() | {"continue_to": continue_to(self.request)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        offer = offers.find(chosen_offer(self.request))
        return super().get_context_data(**kwargs) | {
            "plan": offer,
            "interval": offer.interval if offer else "",
        }

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        """Sign up without logging in, which the mailed link does. The redirect keeps the query of the pricing link."""
        form.save(self.request)
        chosen = self.request.GET.urlencode()
        return redirect(reverse("account_email_verification_sent") + (f"?{chosen}" if chosen else ""))


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class MailSent(View):
    """“Check your email” after a sign-up, the same for every address; a POST sends the mail again."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:  # the link was opened, perhaps in another tab
            return redirect(continue_to(request) or "dashboard")
        chosen = request.GET.urlencode()
        following = continue_to(request)
        context = {
            "sign_up": newcomers.waiting(request.session),
            "sign_up_url": reverse("account_signup") + (f"?{chosen}" if chosen else ""),
            "login_url": reverse("account_login")
            + (f"?{urlencode({'next': following})}" if following else ""),
        }
        return render(request, "account/verification_sent.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        sign_up = newcomers.waiting(request.session)
        if sign_up is not None and newcomers.mail_again(sign_up=sign_up):
            messages.success(request, _("We sent an email to %(email)s.") % {"email": sign_up.email})
        else:
            messages.info(request, MAILED_BEFORE)
        return redirect(request.get_full_path())


@login_not_required
@never_cache
def inactive(request: HttpRequest) -> HttpResponse:
    """Shown only after the right password of an inactive account; everybody else is redirected."""
    if request.session.pop(INACTIVE, None) is None:
        return redirect("dashboard" if request.user.is_authenticated else "account_login")
    return render(request, "account/account_inactive.html")


@login_not_required
def social_sign_up(request: HttpRequest) -> HttpResponse:
    """Replaces allauth's second form: a sign-up with Google or GitHub succeeds or is refused (accounts.adapters)."""
    return redirect("account_signup")


def continue_to(request: HttpRequest) -> str:
    """Returns the page to open after sign-up: `?next=`, or the checkout of the pricing link; empty if there is none."""
    if following := access.safe_next_url(request.GET.get("next", "")):
        return following
    chosen = chosen_offer(request)
    offer = offers.find(chosen)
    if offer is not None and offer.unit_amount == 0:  # free: no checkout
        return ""
    return _checkout(chosen)


def _checkout(chosen: dict[str, str]) -> str:
    if not chosen:
        return ""
    try:
        return access.safe_next_url(f"{reverse('checkout')}?{urlencode(chosen)}")
    except NoReverseMatch:  # no app above this one sells anything
        return ""


def chosen_offer(request: HttpRequest) -> dict[str, str]:
    """Returns the parameters of a pricing link: `plan` or `product`, `interval` …; empty without plan and product."""
    chosen = {name: request.GET[name] for name in CHOICES if request.GET.get(name)}
    return chosen if {"plan", "product"} & chosen.keys() else {}


@login_required
def verify_email(request: HttpRequest) -> HttpResponse:
    """Asks to confirm the address; a POST sends the mail again. Redirects once the address is confirmed."""
    user = access.person_of(request)
    following = access.safe_next_url(request.GET.get("next", ""))
    if people.has_verified_email(user):
        return redirect(following or "dashboard")
    if request.method == "POST":
        if throttles.allows(name="email_link", ident=str(user.pk)) and registration.send_verification(
            user=user, dedupe_key=None
        ):
            messages.success(request, _("We sent an email to %(email)s.") % {"email": user.email})
        else:
            messages.info(request, MAILED_BEFORE)
        return redirect(request.get_full_path())
    if following:
        people.remember_continue_to(user=user, path=following)
    return render(request, "accounts/verify_email.html", {"address": user.email, "next": following})


@never_cache
@login_not_required
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The page of an invitation's link: join, log in and join, or sign up and join."""
    try:
        found = invitations.find(token)
    except Refusal as refusal:
        return render(request, "accounts/invitation_gone.html", {"refusal": refusal}, status=refusal.status)
    if request.user.is_authenticated:
        return _join(request, found)
    if User.objects.filter(email=found.email).exists():
        log_in = f"{reverse('account_login')}?{urlencode({'next': request.path})}"
        return render(request, "accounts/invitation.html", {"invitation": found, "log_in_url": log_in})
    return _sign_up_and_join(request, found)


def _join(request: HttpRequest, found: Invitation) -> HttpResponse:
    user = access.person_of(request)
    if request.method == "POST":
        if user.email == found.email and not people.has_verified_email(user):
            # A mailed link and a login are what confirming the address takes, so this confirms it, too.
            verification.confirm(user=user, keep=access.just_used(request), now=timezone.now())
            user.refresh_from_db()
            access.stay_logged_in(request)
        try:
            membership = invitations.accept(invitation=found, user=user, now=timezone.now())
        except Refusal as refusal:
            return render(
                request, "accounts/invitation_gone.html", {"refusal": refusal}, status=refusal.status
            )
        access.select_organization(request, membership.organization_id)
        messages.success(request, _("Welcome to %(name)s.") % {"name": found.organization})
        return redirect("dashboard")
    is_mine = user.email == found.email
    return render(request, "accounts/invitation.html", {"invitation": found, "is_mine": is_mine})


def _sign_up_and_join(request: HttpRequest, found: Invitation) -> HttpResponse:
    form = InvitedSignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = invitations.register(
                invitation=found,
                password=form.cleaned_data["password"],
                full_name=form.cleaned_data["full_name"],
                now=timezone.now(),
            )
        except Invalid as refusal:
            for error in refusal.errors:
                form.add_error(error.pointer.strip("/"), error.detail)
        except Refusal as refusal:
            form.add_error(None, refusal.detail)
        else:
            messages.success(request, _("Welcome to %(name)s.") % {"name": found.organization})
            return perform_login(
                request, user, email_verification="none", redirect_url=reverse("dashboard"), signup=True
            )
    context = {"invitation": found, "form": form}
    return render(request, "accounts/invitation.html", context, status=422 if form.errors else 200)
