"""Closing an account, and undoing that."""

from datetime import datetime
from typing import Any

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required, login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache

from accounts import closures, memberships
from accounts.access import PersonRequest
from accounts.closures import Consequence
from accounts.forms import CloseAccountForm
from accounts.models import AccountClosure
from accounts.views.email import MailedLink
from superagent.foundation import tenancy
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal


@method_decorator(never_cache, name="dispatch")
@method_decorator(login_required, name="dispatch")
class CloseAccount(View):
    """Shows what closing means for each organization. Asking for it needs re-authentication."""

    request: PersonRequest

    def get(self, request: PersonRequest) -> HttpResponse:
        found = self._consequences(timezone.now())
        return self._page(found, self._form(found))

    @method_decorator(reauthentication_required)
    def post(self, request: PersonRequest) -> HttpResponse:
        now = timezone.now()
        found = self._consequences(now)
        form = self._form(found, request.POST)
        if form.is_valid():
            try:
                closures.ask(
                    user=request.user, end_charges=bool(form.cleaned_data.get("end_charges")), now=now
                )
            except Refusal as refusal:
                form.add_error(None, refusal.detail)
            else:
                messages.success(request, _("We emailed you the date and a link to keep your account."))
                return redirect("profile")
        return self._page(found, form)

    def _consequences(self, now: datetime) -> list[Consequence]:
        """Returns the most important consequences, as many as fit on a page."""
        return closures.consequences(user=self.request.user, now=now, most=memberships.MENU_SIZE)

    def _form(self, found: list[Consequence], data: Any = None) -> CloseAccountForm:
        running = [charge for each in found for charge in each.charges]
        may_be_more = len(found) == memberships.MENU_SIZE and bool(found[-1].charges)
        return CloseAccountForm(data, user=self.request.user, charges=running, may_be_more=may_be_more)

    def _count(self) -> int:
        with tenancy.system("how many organizations the end of an account concerns"):
            return memberships.of_user(self.request.user).count()

    def _page(self, found: list[Consequence], form: CloseAccountForm) -> HttpResponse:
        context = {
            "form": form,
            "consequences": found,
            "more": self._count() - len(found),
            "is_stuck": any(each.needs_another_owner for each in found),
            "days": AccountClosure.WAITING_PERIOD.days,
        }
        return render(
            self.request, "accounts/close_account.html", context, status=422 if form.errors else 200
        )


@login_required
@post_only(page="profile")
def keep_account(request: PersonRequest) -> HttpResponse:
    """Undo the closing, for a user who is logged in."""
    closure = closures.pending(user=request.user)
    if closure is not None:
        closures.undo(closure=closure, now=timezone.now())
        messages.success(request, _("Your account stays open."))
    return redirect("profile")


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class KeepByLink(MailedLink):
    """Undo the closing by the mailed link: somebody else may have asked for it, so no login is needed."""

    template_name = "account/keep_account.html"

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self.page(closure=closures.find(token))

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        closure = closures.find(token)
        closures.undo(closure=closure, now=timezone.now())
        return self.page(closure=closure, is_kept=True)
