from celery import shared_task
from django.utils import timezone

from accounts import api_keys, closures, key_records, security_events, sessions, tokens
from superagent.foundation import tenancy


@shared_task
def record_key_uses() -> int:
    """Every minute: write from Redis to PostgreSQL when each API key was last used."""
    with tenancy.system("record the use of API keys"):
        return api_keys.record_uses(uses=key_records.take_uses())


@shared_task
def forget_token_families() -> int:
    """Daily: delete API logins whose last refresh token has expired."""
    with tenancy.system("forget expired logins"):
        return tokens.forget_expired(now=timezone.now())


@shared_task
def forget_sessions() -> int:
    """Daily: delete expired portal sessions."""
    with tenancy.system("forget expired sessions"):
        return sessions.forget_expired(now=timezone.now())


@shared_task
def store_security_events() -> int:
    """Every minute: write security events from Redis to PostgreSQL."""
    with tenancy.system("what was refused may concern nobody who is known"):
        return security_events.store(now=timezone.now())


@shared_task
def forget_security_events() -> int:
    """Daily: delete security events older than the retention period."""
    with tenancy.system("forget old security events"):
        return security_events.forget_old(now=timezone.now())


@shared_task
def close_accounts() -> int:
    """Hourly: close accounts whose two weeks are over, and end charges that were bought meanwhile."""
    with tenancy.system("close accounts that are due"):
        closed = closures.close_due(now=timezone.now())
        closures.end_stray_charges()
        return closed


@shared_task
def close_unused_accounts() -> int:
    """Daily: close accounts that were never confirmed or used, so that their addresses become free."""
    with tenancy.system("close accounts that were never confirmed"):
        return closures.close_unused(now=timezone.now())
