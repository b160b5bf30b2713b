"""Sessions and security activity of a user."""

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.usersessions.views import ListUserSessionsView
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator

from accounts import security_events
from accounts.access import PortalRequest, portal_view
from accounts.models import AuditEntry, SecurityEvent
from superagent.foundation import cursors, tenancy


class Sessions(ListUserSessionsView):
    """allauth's page. Ending other sessions needs re-authentication: a stolen session must not lock out the owner."""

    @method_decorator(reauthentication_required)
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        return response


@portal_view()
def activity(request: PortalRequest) -> HttpResponse:
    """List logins and changes of the account, or with `?show=refused` failed logins and other refused attempts."""
    shown = "refused" if request.GET.get("show") == "refused" else "done"
    with tenancy.system("a person reads what happened to their own account"):
        rows: QuerySet[Any]
        if shown == "refused":
            rows = SecurityEvent.objects.filter(user=request.user)
        else:
            rows = AuditEntry.objects.filter(
                organization=None, target_type="user", target_id=str(request.user.pk)
            ).select_related("actor")
        page = cursors.page(rows, request.GET)
    context = {"page": page, "shown": shown, "kept_days": security_events.KEPT_FOR.days}
    return render(request, "accounts/security_activity.html", context)
