"""Rate limits, a part of the settings: the number of attempts, and the seconds in which it is restored
(`accounts.throttles`).
"""

THROTTLES: dict[str, tuple[int, int]] = {
    # By network, on pages and on the API; the wider network of IPv6 has 16 times the limit.
    "register": (20, 60),
    "register_day": (200, 86_400),
    "login": (60, 60),
    "passkey": (60, 60),
    "reset": (20, 60),
    "refresh": (120, 60),
    "invite_network": (120, 3600),
    "link": (60, 60),  # links in mails
    # Wrong passwords and codes (accounts.guessing).
    "guess_pair": (10, 1200),  # of one account, by network
    "guess_device": (10, 1200),  # of one account, from a browser that has logged in to it
    "guess_network": (60, 3600),  # by network, of all accounts
    "guess_account": (100, 3600),  # of one account, from all networks
    "invite": (60, 3600),  # by organization
    # By person.
    "invite_person": (60, 3600),
    "email_change": (10, 3600),  # requesting a change of address
    "email_link": (1, 180),  # resending its link
    "mail_api_key": (20, 86_400),  # mails about created and revoked keys
    # Mails to one address, whoever causes them.
    "mail_invitation": (3, 86_400),
    "mail_verify": (5, 86_400),
    "mail_reset": (5, 86_400),
    "mail_account_exists": (1, 86_400),
    "mail_email_change": (3, 86_400),
    "mail_new_device": (5, 86_400),
    "mail_billing": (20, 86_400),  # of plans and licenses, to a billing address that no member has confirmed
}
# Ours count instead (accounts.middleware.PageLimits); those by person stay.
OF_ALLAUTH_ACCOUNT: dict[str, str | None] = dict.fromkeys(
    ("login", "login_failed", "signup", "reset_password", "reset_password_from_key")
)
OF_ALLAUTH_MFA: dict[str, str | None] = {"webauthn_login": None}
