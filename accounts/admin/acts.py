"""Staff actions on one row beyond editing it: a page that states the consequence, asks for a reason, and makes one
domain call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise

from accounts import audit, staff_access
from accounts.admin.audited import KEPT, AuditedAdmin, reason_field, staff_of
from accounts.models import User
from superagent.foundation.problems import Refusal


class ActForm(forms.Form):
    """Asks for a reason. Subclasses add fields, and initial values from the row."""

    reason_help: ClassVar[Any] = KEPT

    def __init__(self, row: Any, data: Any = None) -> None:
        super().__init__(data, initial=self.initial_of(row))
        self.fields["reason"] = reason_field(self.reason_help)

    @staticmethod
    def initial_of(row: Any) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class Act:
    """`call(row, values, by)` makes the domain call with the form's values, and returns the message of success.

    `is_open_to(by, row)` hides what the domain would refuse.
    """

    name: str
    title: Promise
    consequence: Promise
    call: Callable[[Any, dict[str, Any], User], Any]
    is_open_to: Callable[[User, Any], bool]
    form: type[ActForm] = ActForm


class ActsAdmin(AuditedAdmin):
    """Rows with acts, each of them a button on the row's page."""

    acts: ClassVar[Sequence[Act]] = ()
    change_form_template = "admin/acts_change_form.html"

    def get_urls(self) -> list[Any]:
        address = path(
            "<path:object_id>/acts/<slug:name>/",
            self.admin_site.admin_view(self.act_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_act",
        )
        return [address, *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().change_view(request, object_id, *args, **kwargs)
        row = getattr(response, "context_data", {}).get("original") if response.status_code == 200 else None
        if isinstance(response, TemplateResponse) and response.context_data is not None and row is not None:
            response.context_data["acts"] = [
                (act, self._address(act, row)) for act in self.acts if act.is_open_to(staff_of(request), row)
            ]
        return response

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        act = next((act for act in self.acts if act.name == name), None)
        row = self.get_object(request, unquote(object_id)) if act else None
        if act is None or row is None:
            raise Http404
        if not act.is_open_to(staff_of(request), row):
            raise PermissionDenied
        if detour := staff_access.confirm_first(request):
            return detour
        form = act.form(row, request.POST if request.method == "POST" else None)
        if form.is_valid() and self._is_done(request, act, row, form.cleaned_data):
            return redirect(
                reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])
            )
        return self._page(request, act, row, form)

    def _is_done(self, request: HttpRequest, act: Act, row: models.Model, values: dict[str, Any]) -> bool:
        try:
            with audit.because(values["reason"]):
                message = act.call(row, values, staff_of(request))
        except Refusal as refusal:
            self.message_user(request, refusal.detail, messages.ERROR)
            return False
        self.message_user(request, message, messages.SUCCESS)
        return True

    def _page(self, request: HttpRequest, act: Act, row: models.Model, form: ActForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": act.title,
            "subtitle": str(row),
            "consequence": act.consequence,
            "opts": self.opts,
            "original": row,
            # AdminForm renders any form; only its annotation is limited to model forms
            "adminform": AdminForm(cast(Any, form), [(None, {"fields": list(form.fields)})], {}),
            "errors": form.errors,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/act.html", context)

    def _address(self, act: Act, row: models.Model) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_act", args=[row.pk, act.name])
