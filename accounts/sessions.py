"""Sessions of the portal: those that have expired are forgotten."""

from datetime import datetime

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef


def forget_expired(*, now: datetime) -> int:
    """Delete sessions that have expired and what was noted of them (browser, address); returns how many sessions."""
    deleted, _ = Session.objects.filter(expire_date__lt=now).delete()
    alive = Session.objects.filter(session_key=OuterRef("session_key"))
    UserSession.objects.filter(~Exists(alive)).delete()
    return deleted
