"""Sessions of the portal: how long they last, and that those which have expired are forgotten."""

from datetime import datetime, timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef

from accounts.models import User

LIFETIME = timedelta(days=14)
IDLE_LIFETIME = timedelta(days=3)
MOST = 50
"""Log-ins on the portal that a person has at once: the page that lists them, and what ends them, read them all."""
SEEN_EVERY = timedelta(minutes=5)  # writing the session at each click would be one more UPDATE for nothing
BEGAN_KEY, SEEN_KEY = "began_at", "seen_at"


def begin(session: SessionBase, *, now: datetime) -> None:
    """Somebody has just logged in."""
    session[BEGAN_KEY] = session[SEEN_KEY] = now.timestamp()


def end_beyond_most(user: User) -> None:
    """Before one more begins: end the oldest that are too many."""
    for session in UserSession.objects.filter(user=user).order_by("-pk")[MOST - 1 :]:
        session.end()


def is_over(session: SessionBase, *, now: datetime) -> bool:
    """Whether a log-in has lasted or rested too long."""
    at = now.timestamp()
    lasted, rested = at - session.get(BEGAN_KEY, at), at - session.get(SEEN_KEY, at)
    return lasted > LIFETIME.total_seconds() or rested > IDLE_LIFETIME.total_seconds()


def note_presence(session: SessionBase, *, now: datetime) -> None:
    """Somebody is there. What a page left open asks for by itself is no sign of it."""
    at = now.timestamp()
    session.setdefault(BEGAN_KEY, at)
    if SEEN_KEY not in session or at - session[SEEN_KEY] > SEEN_EVERY.total_seconds():
        session[SEEN_KEY] = at


def forget_expired(*, now: datetime) -> int:
    """Delete sessions that have expired and what was noted of them (browser, address); returns how many sessions."""
    deleted, _ = Session.objects.filter(expire_date__lt=now).delete()
    alive = Session.objects.filter(session_key=OuterRef("session_key"))
    UserSession.objects.filter(~Exists(alive)).delete()
    return deleted
