"""Announce changes of a plan in the transaction that makes them: by mail and, unless a call of ours already did, in
the audit trail. Licenses have their own texts (licensing.announcements).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import audit, billing_mail, mail_links
from accounts.models import AuditEntry, Organization, User
from billing.catalog import plans, pricing
from billing.models import Interval, Price, Subscription
from billing.projection import coming

CHECKOUT_STARTED = "checkout.started"
ENDED = "subscription.ended"
TEMPLATE = "billing/email/plan"


@dataclass(frozen=True, slots=True)
class Before:
    """A subscription before the fetched state was applied."""

    status: str
    price_id: UUID
    pending_price: Price | None
    is_canceling: bool
    last_act: str

    @classmethod
    def of(cls, subscription: Subscription) -> "Before":
        return cls(
            subscription.status,
            subscription.price_id,
            subscription.pending_price,
            subscription.is_canceling,
            subscription.last_act,
        )


@dataclass(frozen=True, slots=True)
class Words:
    """A mail's heading, which is its subject too, and its paragraphs."""

    heading: str
    paragraphs: tuple[str, ...]


def tell(*, subscription: Subscription, before: Before | None, token: int) -> None:
    """Mail the changes of a plan's subscription, once for each fetch, identified by `token`."""
    for kind in _happened(subscription, before):
        _record(kind, subscription, before)
        words = _canceled(subscription, before) if kind == "canceled" else _WORDS[kind](subscription)
        if words is not None:
            _mail(kind, subscription, words, token)


def _happened(now: Subscription, before: Before | None) -> Iterator[str]:
    if before is None or before.status == Subscription.Status.INCOMPLETE:
        if now.is_live:
            yield "started"
        return
    if now.has_ended:
        if before.status not in Subscription.ENDED and plans.subscription_of(now.organization) is None:
            yield "ended"
        return
    if not now.is_live:
        return
    if now.price_id != before.price_id:
        yield "began" if now.price_id == _id(before.pending_price) else "changed"
    elif before.pending_price and not now.pending_price_id and not now.is_canceling:
        yield "change_taken_back"
    if now.pending_price_id and now.pending_price_id != _id(before.pending_price):
        yield "change_planned"
    if now.is_canceling != before.is_canceling:
        yield "canceled" if now.is_canceling else "resumed"


def _id(price: Price | None) -> UUID | None:
    return price.pk if price is not None else None


# Not recorded by a call of ours: purchases are paid at Stripe, the others happen with time.
_RECORDED = {
    "started": "subscription.started",
    "began": "subscription.change_began",
    "ended": ENDED,
}
# Recorded by our own calls; otherwise done at Stripe, in its customer portal or by our staff.
_RECORDED_OF_STRIPE = {
    "changed": "subscription.changed_at_stripe",
    "canceled": "subscription.canceled_at_stripe",
    "resumed": "subscription.resumed_at_stripe",
}


def _record(kind: str, subscription: Subscription, before: Before | None) -> None:
    is_call_of_ours = before is None or before.last_act != subscription.last_act
    action = _RECORDED.get(kind) or (None if is_call_of_ours else _RECORDED_OF_STRIPE.get(kind))
    if action is None:
        return
    price = subscription.price
    audit.record(
        action=action,
        organization=subscription.organization,
        actor=_buyer(subscription.organization) if kind == "started" else None,
        target=subscription,
        label=price.product.name,
        detail={"product": price.product.slug, "interval": price.interval},
    )


def _buyer(organization: Organization) -> User | None:
    """Returns who opened the payment page; None for an API key, or if it was opened at Stripe."""
    opened = (
        AuditEntry.objects.filter(organization=organization, action=CHECKOUT_STARTED).order_by("-id").first()
    )
    return User.objects.filter(pk=opened.actor_id).first() if opened is not None and opened.actor_id else None


def _mail(kind: str, subscription: Subscription, words: Words, token: int) -> None:
    billing_mail.announce(
        organization=subscription.organization,
        template=TEMPLATE,
        context={
            "heading": words.heading,
            "paragraphs": list(words.paragraphs),
            "plan": _name(subscription.price),
            "price": pricing.per_period(subscription.price),
            "url": mail_links.page("billing", organization=subscription.organization),
        },
        dedupe_key=f"plan_{kind}:{subscription.stripe_id}:{token}",
    )


def _started(subscription: Subscription) -> Words | None:
    """Mail the start of a trial. A paid plan has its receipt instead."""
    if subscription.status != Subscription.Status.TRIALING:
        return None
    return Words(
        _("Your trial of %(plan)s has begun") % _plan(subscription),
        (
            _(
                "It is free until %(date)s. After that you are charged %(amount)s, unless you cancel before then."
            )
            % {"date": _date(subscription.trial_end), "amount": pricing.per_period(subscription.price)},
        ),
    )


def _changed(subscription: Subscription) -> Words:
    return Words(_("Your plan is now %(plan)s") % {"plan": _name(subscription.price)}, _renewal(subscription))


def _change_planned(subscription: Subscription) -> Words | None:
    price = subscription.pending_price
    if price is None:
        return None
    facts = {
        "plan": _name(price),
        "date": _date(subscription.pending_at),
        "amount": pricing.per_period(price),
    }
    return Words(
        _("%(plan)s starts on %(date)s") % facts,
        (
            _("Until then, nothing changes. From then on it costs %(amount)s.") % facts,
            _("Changed your mind? Cancel the change on the plan page before then."),
        ),
    )


def _change_taken_back(subscription: Subscription) -> Words:
    return Words(
        _("Your plan stays %(plan)s") % {"plan": _name(subscription.price)},
        (_("The scheduled change was canceled."), *_renewal(subscription)),
    )


def _canceled(subscription: Subscription, before: Before | None) -> Words:
    dropped = before.pending_price if before is not None else None
    end = subscription.cancel_at or subscription.current_period_end
    return Words(
        _("Your %(plan)s plan will end") % _plan(subscription),
        (
            _("It works until %(date)s and does not renew.") % {"date": _date(end)},
            _("Usage over the included amount is billed each month until then, and once more at the end.")
            if subscription.interval == Interval.YEAR
            else _("Usage over the included amount until then is billed at the end."),
            *(
                (_("The scheduled change to %(plan)s was canceled.") % {"plan": _name(dropped)},)
                if dropped
                else ()
            ),
            *_others(subscription.organization),
            _("Changed your mind? Resume it on the plan page before then. It then renews for %(amount)s.")
            % {"amount": pricing.per_period(subscription.price)},
        ),
    )


def _others(organization: Organization) -> tuple[str, ...]:
    """Names the other subscriptions that will renew, if any."""
    rows = Subscription.objects.filter(organization=organization, plan=None).live().select_related("product")
    names = sorted({each.product.name for each in rows if coming.renews(each)})
    return (
        (_("Your other subscriptions continue: %(names)s.") % {"names": ", ".join(names)},) if names else ()
    )


def _resumed(subscription: Subscription) -> Words:
    return Words(_("Your %(plan)s plan continues") % _plan(subscription), _renewal(subscription))


def _ended(subscription: Subscription) -> Words:
    why = (
        (_("It ended because a payment failed."),)
        if subscription.ended_for_nonpayment
        else (_("You will not be charged again."),)
    )
    return Words(
        _("Your %(plan)s plan has ended") % _plan(subscription),
        (
            *why,
            _("You are now on the free plan, which has hard limits. Your API keys, data and invoices stay."),
            _("Unbilled usage over the included amount is charged on a final invoice."),
        ),
    )


def _renewal(subscription: Subscription) -> tuple[str, ...]:
    return (
        _("It renews on %(date)s for %(amount)s.")
        % {
            "date": _date(subscription.current_period_end),
            "amount": pricing.per_period(subscription.renewal_price),
        },
    )


def _plan(subscription: Subscription) -> dict[str, str]:
    return {"plan": subscription.price.product.name}


def _name(price: Price) -> str:
    return f"{price.product.name}, {price.get_interval_display()}"


def _date(moment: datetime | None) -> str:
    return date_format(moment, "M j, Y, H:i") + " UTC" if moment else _("no date")


_WORDS: dict[str, Callable[[Subscription], Words | None]] = {
    "started": _started,
    "changed": _changed,
    "began": _changed,
    "change_planned": _change_planned,
    "change_taken_back": _change_taken_back,
    "resumed": _resumed,
    "ended": _ended,
}
