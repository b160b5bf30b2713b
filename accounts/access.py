"""Authorization for portal pages: login, organization, tenant scope, role."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, cast
from urllib.parse import urlencode
from uuid import UUID

from allauth.account.internal.flows.login import get_authentication_records
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts import mail_links, memberships, people, roles
from accounts.models import Membership, Organization, User
from accounts.revocation import Keep
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from superagent.foundation.page_addresses import page_address

SESSION_KEY = "organization_id"
MAX_PATH_LENGTH = 500
Page = ParamSpec("Page")


class PersonRequest(HttpRequest):
    """A request by a logged-in user. For annotations only."""

    user: User


class FramedRequest(PersonRequest):
    """A request whose answer has the portal's frame around it. For annotations only."""

    organization: Organization | None
    membership: Membership | None
    memberships: memberships.MembershipMenu


class PortalRequest(PersonRequest):
    """The request that a portal view gets. For annotations only."""

    organization: Any
    membership: Membership


def portal_view(
    *, scope: str | None = None, verified: bool = False
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Decorate a function view: its request has `organization` and `membership`, and the tenant scope is open.

    `scope` is what the member's role must allow; `verified` asks for a confirmed email address first.
    """

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @functools.wraps(view)
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return authorize(request, scope=scope, verified=verified) or view(request, *args, **kwargs)

        return wrapped

    return decorate


def in_own_time_zone(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Decorate a portal view, below portal_view: its page shows times in the person's zone."""

    @functools.wraps(view)
    def wrapped(request: PortalRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with timezone.override(request.user.zone):
            return view(request, *args, **kwargs)

    return wrapped


def authorize(request: HttpRequest, *, scope: str | None, verified: bool) -> HttpResponse | None:
    """Check login, membership, scope and address, and activate the tenant scope.

    Returns None if the request may go on, else the response that says what is missing.
    """
    if not request.user.is_authenticated:
        return redirect_to_login(page_address(request))
    if request.method == "GET" and mail_links.ORGANIZATION in request.GET:
        return _enter_from_mail(request)
    membership = attach_membership(request)
    if membership is None:
        return redirect(f"{reverse('organization-new')}?{urlencode({'next': page_address(request)})}")
    tenancy.activate(membership.organization)
    if scope is not None and not roles.allows(membership.role, scope):
        return forbidden(request, scope)
    if verified and not people.has_verified_email(request.user):
        return verify_first(request)
    return None


def _enter_from_mail(request: HttpRequest) -> HttpResponse:
    """Redirect to the same page in the organization that a mail's link names, if the user is a member of it."""
    user = person_of(request)
    query = request.GET.copy()
    wanted = _uuid(query.pop(mail_links.ORGANIZATION)[-1])
    found = memberships.find(user, wanted) if wanted else None
    present = current_membership(request)
    if found is not None and (present is None or found.pk != present.pk):
        select_organization(request, found.organization_id)
        text = _("You switched to %(organization)s, which the link was for.")
        messages.info(request, text % {"organization": found.organization})
    return redirect(f"{request.path}?{query.urlencode()}" if query else request.path)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def verify_first(request: HttpRequest) -> HttpResponse:
    """Redirect to the page that asks to confirm the address, and from there back to the present page."""
    return redirect(f"{reverse('verify-email')}?{urlencode({'next': page_address(request)})}")


def attach_membership(request: HttpRequest) -> Membership | None:
    """Set `membership`, `organization` and, for the switcher, `memberships` on the request, in one query."""
    user = person_of(request)
    framed = cast(FramedRequest, request)
    framed.memberships = memberships.menu_of_user(user)
    membership = current_membership(request)
    if membership is not None:
        membership.user = user  # known, so that no page asks for it again
    framed.membership = membership
    framed.organization = membership.organization if membership else None
    return membership


def attached_membership(request: HttpRequest) -> Membership | None:
    """What `attach_membership` put on the request; attaches it first where no portal view did."""
    return request.membership if hasattr(request, "membership") else attach_membership(request)


def open_frame(request: HttpRequest) -> bool:
    """Returns whether the portal's menu can be shown around a response that no portal view made, such as a 404.

    If so, the tenant scope that the menu reads in is active.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or tenancy.current().kind == "system":
        return False  # the admin has its own navigation
    membership = attached_membership(request)
    if membership is None:
        return False
    tenancy.activate(membership.organization)
    return True


def person_of(request: HttpRequest) -> User:
    """Returns who is logged in; for what nobody else reaches."""
    assert isinstance(request.user, User), "a login is required first"
    return request.user


def current_membership(request: HttpRequest) -> Membership | None:
    """Returns the membership selected in the session, else the default one, else the first, else None."""
    user = person_of(request)
    if wanted := request.session.get(SESSION_KEY):
        if found := _in_menu(request, wanted) or memberships.find(user, wanted):
            return found
        del request.session[SESSION_KEY]  # no longer a member there
    if found := _in_menu(request, user.default_organization_id):
        return found
    menu: memberships.MembershipMenu | None = getattr(request, "memberships", None)
    if menu is None or menu.has_more:
        return memberships.find(user, None)
    return min(menu.shown, key=lambda each: each.pk, default=None)  # all are known: the first joined


def _in_menu(request: HttpRequest, organization_id: UUID | str | None) -> Membership | None:
    """Returns the membership from those read for the switcher, if it is among them."""
    menu: memberships.MembershipMenu | None = getattr(request, "memberships", None)
    shown = menu.shown if menu else []
    return next((each for each in shown if str(each.organization_id) == str(organization_id)), None)


def select_organization(request: HttpRequest, organization_id: UUID) -> None:
    """Make this organization the session's current one. The caller has checked that the user is a member."""
    request.session[SESSION_KEY] = str(organization_id)


def just_used(request: HttpRequest) -> Keep:
    """Returns the social account that this session logged in with, which is kept when other access is revoked."""
    for record in reversed(get_authentication_records(request, request.user)):
        if record.get("method") == "socialaccount":
            return Keep(social_account=(record["provider"], record["uid"]))
    return Keep()


def stay_logged_in(request: HttpRequest) -> None:
    """Keep this session after a domain function has ended all logins of the user."""
    user = person_of(request)
    update_session_auth_hash(request, user)
    UserSession.objects.create_from_request(request)  # its key is a new one


def safe_next_url(path: str) -> str:
    """Returns `path` if it is a path on this site, else an empty text. For `next=` and other untrusted redirects."""
    is_ours = path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    return path if is_ours and len(path) <= MAX_PATH_LENGTH else ""


def forbidden(request: HttpRequest, scope: str) -> HttpResponse:
    """Returns a 403 page: the missing permission, the roles that have it, and who can grant it."""
    organization = cast(PortalRequest, request).organization
    granting = Membership.objects.visible_to(organization).filter(role__in=[Role.OWNER, Role.ADMIN])
    context = {
        "needed": Scope(scope).label,
        "roles": [role.label for role in roles.roles_with(scope)],
        "grantors": [membership.user for membership in granting.select_related("user").order_by("id")[:5]],
    }
    return render(request, "accounts/forbidden.html", context, status=403)
