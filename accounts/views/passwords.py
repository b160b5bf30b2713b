"""allauth's page to reset a password by a mailed link; it also shows refusals of our domain."""

from allauth.account.views import PasswordResetFromKeyView
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.utils.decorators import method_decorator

from accounts.forms import ResetPasswordKeyForm
from superagent.foundation.problems import Refusal


@method_decorator(login_not_required, name="dispatch")
class ResetPassword(PasswordResetFromKeyView):
    def form_valid(self, form: ResetPasswordKeyForm) -> HttpResponse:
        try:
            return super().form_valid(form)
        except Refusal as refusal:
            form.add_error(None, refusal.detail)
            return self.form_invalid(form)
