"""Portal sessions: lifetime, idle timeout, number per user, deletion of expired ones."""

from datetime import datetime, timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef

from accounts.models import User

LIFETIME = timedelta(days=14)
IDLE_LIFETIME = timedelta(days=3)
MOST = 50
"""Concurrent sessions of one user: the page that lists them reads them all."""
SEEN_EVERY = timedelta(minutes=5)  # saves an UPDATE of the session on most requests
BEGAN_KEY, SEEN_KEY = "began_at", "seen_at"


def begin(session: SessionBase, *, now: datetime) -> None:
    """Start the timeouts of a session after a login."""
    session[BEGAN_KEY] = session[SEEN_KEY] = now.timestamp()


def end_beyond_most(user: User) -> None:
    """End the user's oldest sessions, so that one more stays within MOST."""
    for session in UserSession.objects.filter(user=user).order_by("-pk")[MOST - 1 :]:
        session.end()


def is_over(session: SessionBase, *, now: datetime) -> bool:
    """Returns whether the session has reached its lifetime or idle timeout."""
    at = now.timestamp()
    lasted, rested = at - session.get(BEGAN_KEY, at), at - session.get(SEEN_KEY, at)
    return lasted > LIFETIME.total_seconds() or rested > IDLE_LIFETIME.total_seconds()


def note_presence(session: SessionBase, *, now: datetime) -> None:
    """Record activity, for the idle timeout. Polling by an open page must not call it."""
    at = now.timestamp()
    session.setdefault(BEGAN_KEY, at)
    if SEEN_KEY not in session or at - session[SEEN_KEY] > SEEN_EVERY.total_seconds():
        session[SEEN_KEY] = at


def forget_expired(*, now: datetime) -> int:
    """Delete expired sessions with their browser and address. Returns the number of sessions."""
    deleted, _ = Session.objects.filter(expire_date__lt=now).delete()
    alive = Session.objects.filter(session_key=OuterRef("session_key"))
    UserSession.objects.filter(~Exists(alive)).delete()
    return deleted
