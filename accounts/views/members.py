"""Members and invitations of the organization."""

from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import invitations, memberships, offboarding, roles
from accounts.access import PortalRequest, portal_view
from accounts.forms import InvitationForm, RoleForm
from accounts.models import ApiKey, Invitation, Membership
from accounts.roles import Role, Scope
from superagent.foundation import cursors
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal


@portal_view(scope=Scope.ORGANIZATION_READ)
def index(request: PortalRequest) -> HttpResponse:
    page = cursors.page(_members(request), request.GET)
    open_invitations = Invitation.objects.visible_to(request.organization).open(timezone.now())
    owners = _members(request).filter(role=Role.OWNER).count()
    keys = offboarding.keys_by_maker(
        organization=request.organization,
        users=[membership.user_id for membership in page.rows],
        now=timezone.now(),
    )
    context = {
        "page": page,
        "rows": [
            {
                "membership": membership,
                "is_me": membership.user_id == request.user.pk,
                "is_last_owner": membership.role == Role.OWNER and owners == 1,
                "may_manage": roles.may_give(request.membership.role, membership.role),
                "keys": keys.get(membership.user_id, []),
            }
            for membership in page.rows
        ],
        "invitations": open_invitations.select_related("invited_by")[: invitations.MAX_OPEN],
    }
    return render(request, "accounts/members.html", context)


@portal_view(scope=Scope.ORGANIZATION_WRITE, verified=True)
def invite(request: PortalRequest) -> HttpResponse:
    form = InvitationForm(request.POST or None, by_role=request.membership.role)
    if request.method == "POST" and form.is_valid():
        try:
            invitation = invitations.invite(
                organization=request.organization,
                email=form.cleaned_data["email"],
                role=form.cleaned_data["role"],
                invited_by=request.user,
                now=timezone.now(),
            )
        except Refusal as refusal:
            form.add_error(None, refusal.detail)
        else:
            messages.success(request, _("We sent an invitation to %(email)s.") % {"email": invitation.email})
            return redirect("members")
    context = {"form": form, "comparison": comparison()}
    return render(request, "accounts/member_invite.html", context, status=422 if form.errors else 200)


@post_only(page="members")
@portal_view(scope=Scope.ORGANIZATION_WRITE)
def withdraw(request: PortalRequest, invitation_id: UUID) -> HttpResponse:
    try:
        invitation = invitations.revoke(
            organization=request.organization, invitation_id=invitation_id, now=timezone.now()
        )
    except Refusal as refusal:
        return refused(request, refusal)
    messages.success(request, _("The invitation to %(email)s was withdrawn.") % {"email": invitation.email})
    return redirect("members")


@portal_view(scope=Scope.ORGANIZATION_WRITE)
def member(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """Change a member's role; the page compares what the roles may do."""
    membership = _members(request).filter(user_id=user_id).first()
    if membership is None:
        return render(request, "accounts/not_found.html", status=404)
    keys = offboarding.keys_beyond(
        organization=request.organization, user=membership.user, role=None, now=timezone.now()
    )
    form = RoleForm(
        request.POST or None,
        initial={"role": membership.role},
        by_role=request.membership.role,
        key_names=[str(key) for key in keys],
    )
    if request.method == "POST" and form.is_valid():
        try:
            change = memberships.change_role(
                organization=request.organization,
                user_id=user_id,
                role=form.cleaned_data["role"],
                by=request.user,
                revoke_keys=form.cleaned_data.get("revoke_keys", True),
                now=timezone.now(),
            )
        except Refusal as refusal:
            form.add_error("role", refusal.detail)
        else:
            role = Role(form.cleaned_data["role"]).label
            messages.success(
                request, _("%(person)s's role is now %(role)s.") % {"person": membership.user, "role": role}
            )
            _say_revoked(request, change.revoked_keys)
            return redirect("members")
    context = {"form": form, "membership": membership, "comparison": comparison()}
    return render(request, "accounts/member.html", context, status=422 if form.errors else 200)


@post_only(page="members")
@portal_view(scope=Scope.ORGANIZATION_READ)
def remove(request: PortalRequest, user_id: UUID) -> HttpResponse:
    """Remove a member, or leave."""
    is_leaving = user_id == request.user.pk
    if not is_leaving and not roles.allows(request.membership.role, Scope.ORGANIZATION_WRITE):
        return redirect("member", user_id=user_id)  # says which roles may
    try:
        revoked = memberships.remove(
            organization=request.organization,
            user_id=user_id,
            by=request.user,
            revoke_keys=request.POST.get("keys") != "keep",
            now=timezone.now(),
        )
    except Refusal as refusal:
        return refused(request, refusal)
    if is_leaving:
        messages.success(request, _("You have left %(name)s.") % {"name": request.organization})
        return redirect("dashboard")
    messages.success(request, _("The member was removed and no longer has access."))
    _say_revoked(request, revoked)
    return redirect("members")


def comparison() -> list[tuple[str, list[bool]]]:
    """Returns what each role may do: a row for each scope, with a column for each role."""
    return [(str(scope.label), [roles.allows(role, scope) for role in Role]) for scope in Scope]


def refused(request: PortalRequest, refusal: Refusal) -> HttpResponse:
    if refusal.status == 404:
        return render(request, "accounts/not_found.html", {"refusal": refusal}, status=404)
    messages.error(request, refusal.detail)
    return redirect("members")


def _say_revoked(request: PortalRequest, keys: list[ApiKey]) -> None:
    if keys:
        names = ", ".join(str(key) for key in keys)
        messages.warning(request, _("These API keys no longer work: %(names)s.") % {"names": names})


def _members(request: PortalRequest) -> QuerySet[Membership]:
    return Membership.objects.visible_to(request.organization).select_related("user")
