"""A user's organizations: the list, the switcher, creating one."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access, memberships, organizations, people
from accounts.access import PersonRequest, PortalRequest, portal_view
from accounts.forms import NewOrganizationForm
from superagent.foundation import cursors, tenancy
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal

LONGEST_SEARCH = 150


@portal_view()
def index(request: PortalRequest) -> HttpResponse:
    """List the user's organizations; `?q=` filters by part of the name."""
    text = request.GET.get("q", "").strip()[:LONGEST_SEARCH]
    with tenancy.system("a person lists all their organizations"):
        found = memberships.of_user(request.user)
        if text:
            found = found.filter(organization__name__icontains=text)
        page = cursors.page(found, request.GET)
    return render(request, "accounts/organizations.html", {"page": page, "text": text})


@post_only(page="dashboard")
@login_required
def switch_organization(request: PersonRequest) -> HttpResponse:
    """Make another of the user's organizations the current one of this session."""
    try:
        membership = memberships.find(request.user, UUID(request.POST.get("organization", "")))
    except ValueError:
        membership = None
    if membership is None:
        return render(request, "accounts/not_found.html", status=404)
    access.select_organization(request, membership.organization_id)
    return redirect(access.safe_next_url(request.POST.get("next", "")) or "dashboard")


@login_required
def new_organization(request: PersonRequest) -> HttpResponse:
    """Create an organization. Users without one are redirected here."""
    form = NewOrganizationForm(request.POST or None)
    belongs = memberships.find(request.user, None) is not None
    if belongs and not people.has_verified_email(request.user):
        return access.verify_first(request)
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["name"]
        try:
            made = organizations.create(name=name, owner=request.user, now=timezone.now())
        except Refusal as refusal:
            form.add_error(None, refusal.detail)
        else:
            access.select_organization(request, made.pk)
            messages.success(request, _("%(name)s is ready.") % {"name": made.name})
            return redirect(access.safe_next_url(request.GET.get("next", "")) or "dashboard")
    context = {"form": form, "belongs": belongs}
    return render(request, "accounts/organization_new.html", context, status=422 if form.errors else 200)
