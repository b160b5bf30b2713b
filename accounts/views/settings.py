"""Settings of the organization, the user's profile, and security."""

from allauth.account.decorators import reauthentication_required
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access, memberships, offboarding, organizations, people, roles
from accounts.access import PortalRequest, portal_view
from accounts.forms import OrganizationForm, ProfileForm
from accounts.roles import Scope
from superagent.foundation.page_addresses import post_only


@portal_view(scope=Scope.ORGANIZATION_READ)
def organization(request: PortalRequest) -> HttpResponse:
    may_change = roles.allows(request.membership.role, Scope.ORGANIZATION_WRITE)
    form = OrganizationForm(request.POST or None, instance=request.organization)
    if request.method == "POST":
        if not may_change:
            return access.forbidden(request, Scope.ORGANIZATION_WRITE)
        if form.is_valid():
            organizations.update(organization=request.organization, **form.cleaned_data)
            messages.success(request, _("Organization saved."))
            return redirect("settings")
        request.organization.refresh_from_db()  # the form has set the invalid values on it
    is_last_owner = memberships.is_last_owner(request.membership)
    keys = offboarding.keys_beyond(
        organization=request.organization, user=request.user, role=None, now=timezone.now()
    )
    context = {"form": form, "may_change": may_change, "is_last_owner": is_last_owner, "keys": keys}
    return render(request, "accounts/settings.html", context, status=422 if form.errors else 200)


@portal_view()
def profile(request: PortalRequest) -> HttpResponse:
    user = request.user
    form = ProfileForm(
        request.POST or None, initial={"full_name": user.full_name, "time_zone": user.time_zone}
    )
    if request.method == "POST" and form.is_valid():
        people.rename(user=user, full_name=form.cleaned_data["full_name"])
        people.set_time_zone(user=user, time_zone=form.cleaned_data["time_zone"])
        messages.success(request, _("Profile saved."))
        return redirect("profile")
    context = {"form": form}
    return render(request, "accounts/profile.html", context, status=422 if form.errors else 200)


@portal_view()
def security(request: PortalRequest) -> HttpResponse:
    kinds = list(Authenticator.objects.filter(user_id=request.user.pk).values_list("type", flat=True))
    context = {
        "address": EmailAddress.objects.filter(user_id=request.user.pk, primary=True).first(),
        "has_totp": Authenticator.Type.TOTP in kinds,
        "passkeys": kinds.count(Authenticator.Type.WEBAUTHN),
        "sessions": len(UserSession.objects.purge_and_list(request.user)),
        "api_log_ins": request.user.token_families.filter(revoked_at__isnull=True).count(),
    }
    return render(request, "accounts/security.html", context)


@post_only(page="security")
@portal_view()
@reauthentication_required
def end_api_log_ins(request: PortalRequest) -> HttpResponse:
    """End all API logins of the user."""
    count = people.end_api_log_ins(user=request.user, now=timezone.now())
    messages.success(request, _("Signed out of %(count)s API sessions.") % {"count": count})
    return redirect("security")
