"""The portal's licenses: list, detail, reveal, rotation, buying; and the staff's actions in the admin."""

import json
import re
import time
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, Organization, User
from accounts.roles import Role
from billing.catalog import seed
from billing.models import BillingAccount, Order
from licensing import activations, licenses, moderation, vault
from licensing.models import License, LicenseFeature
from licensing.subscriptions import issue_for
from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7
from tests.accounts.conftest import PASSWORD, founded, join, page_of, person
from tests.licensing.conftest import ANY_KEY, NOW
from tests.licensing.orders import paid_item, subscribe


def reauthenticate(client: Client) -> None:
    assert client.post(reverse("account_reauthenticate"), {"password": PASSWORD}).status_code == 302


def test_the_list_shows_what_each_license_has_used(page: Client, acme: Organization, make_license) -> None:
    license_ = make_license(acme, renews_at=NOW + timedelta(days=3650))
    with tenancy.system("test"):
        LicenseFeature.objects.filter(license=license_, slug="databases").update(used=12)
    html = page.get(reverse("licenses")).content.decode()
    assert "NextPanel Professional" in html
    assert license_.masked_key in html
    assert "12 / 50" in html
    assert "Renews" in html
    assert not ANY_KEY.search(html)


def test_the_empty_list_offers_what_is_for_sale(page: Client) -> None:
    html = page.get(reverse("licenses")).content.decode()
    assert "No license yet" in html
    for slug in ("nextpanel-starter", "nextpanel-professional", "nextpanel-business"):
        assert reverse("license-buy", args=[slug]) in html


def test_another_organizations_license_is_404(page: Client, make_license) -> None:
    license_ = make_license(founded("Globex", person("gus@globex.example")))
    reauthenticate(page)
    assert page.get(reverse("license", args=[license_.pk])).status_code == 404
    assert page.post(reverse("license-reveal", args=[license_.pk])).status_code == 404
    assert page.post(reverse("license-rotate", args=[license_.pk])).status_code == 404
    assert page.post(reverse("license-remove-server", args=[license_.pk])).status_code == 404


def test_revealing_asks_for_the_password_first(page: Client, acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    response = page.post(reverse("license-reveal", args=[license_.pk]))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("account_reauthenticate"))


def later(client: Client, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("licensing.views.licenses.time.time", lambda: now + seconds)


def test_a_revealed_key_is_hidden_again_after_half_a_minute(
    page: Client, acme: Organization, make_license, monkeypatch: pytest.MonkeyPatch
) -> None:
    license_ = make_license(acme)
    address = reverse("license", args=[license_.pk])
    reauthenticate(page)
    assert page.post(reverse("license-reveal", args=[license_.pk]))["Location"] == address
    response = page.get(address)
    assert vault.decrypt(license_.key_encrypted) in response.content.decode()
    assert re.fullmatch(rf"(29|30); url={address}", response["Refresh"])
    assert "no-store" in response["Cache-Control"]
    later(page, 31, monkeypatch)
    hidden = page.get(address)
    assert not ANY_KEY.search(hidden.content.decode())
    assert "Refresh" not in hidden
    with tenancy.system("test"):
        assert AuditEntry.objects.get(action="license.key_revealed").actor.email == "olga@acme.example"


def test_after_the_password_the_key_is_shown_at_the_address_of_its_license(
    page: Client, acme: Organization, make_license
) -> None:
    """Not at that of the password, where another tab would ask for it again."""
    license_ = make_license(acme)
    asked = page.post(reverse("license-reveal", args=[license_.pk]))
    shown = page.post(asked["Location"], {"password": PASSWORD}, follow=True)
    assert shown.request["PATH_INFO"] == reverse("license", args=[license_.pk])
    assert ANY_KEY.search(shown.content.decode())


def test_a_key_is_shown_on_the_page_of_its_own_license_only(
    page: Client, acme: Organization, make_license
) -> None:
    license_, other = make_license(acme), make_license(acme)
    reauthenticate(page)
    page.post(reverse("license-reveal", args=[license_.pk]))
    assert not ANY_KEY.search(page.get(reverse("license", args=[other.pk])).content.decode())
    colleague = page_of(join(acme, "dev@acme.example", Role.DEVELOPER))
    assert not ANY_KEY.search(colleague.get(reverse("license", args=[license_.pk])).content.decode())


def test_a_key_that_cannot_be_decrypted_is_said_on_the_page(
    page: Client, acme: Organization, make_license, settings
) -> None:
    license_ = make_license(acme)
    reauthenticate(page)
    settings.LICENSE_ENCRYPTION_KEY = vault.new_key()
    response = page.post(reverse("license-reveal", args=[license_.pk]), follow=True)
    assert response.status_code == 200
    assert "The license key cannot be shown right now" in response.content.decode()


def rotate(page: Client, license_: License, grace: int) -> str:
    """The new key, as the page shows it."""
    old = page.post(reverse("license-rotate", args=[license_.pk]), {"grace_seconds": str(grace)}, follow=True)
    found = ANY_KEY.search(old.content.decode())
    assert found is not None
    return found.group()


def code_of(key: str) -> str:
    body = json.dumps({"license_key": key, "fingerprint": "server-1"})
    answer = Client().post("/api/v1/licenses/validate", body, content_type="application/json")
    return answer.json()["code"]


def test_a_replaced_key_works_for_the_time_that_was_chosen(
    page: Client, acme: Organization, make_license
) -> None:
    license_ = make_license(acme)
    old = vault.decrypt(license_.key_encrypted)
    activations.activate(license_key=old, fingerprint="server-1", label="")
    reauthenticate(page)
    new = rotate(page, license_, 86_400)
    assert (code_of(new), code_of(old)) == ("VALID", "VALID")
    with tenancy.system("test"):
        assert license_.activations.count() == 1, "no server has to activate again"
        License.objects.filter(pk=license_.pk).update(previous_key_works_until=timezone.now())
    assert (code_of(new), code_of(old)) == ("VALID", "NOT_FOUND")


def test_a_leaked_key_ends_at_once_and_servers_activate_again(
    page: Client, acme: Organization, make_license
) -> None:
    license_ = make_license(acme)
    leaked = vault.decrypt(license_.key_encrypted)
    activations.activate(license_key=leaked, fingerprint="server-1", label="")
    reauthenticate(page)
    planned = rotate(page, license_, 86_400)
    new = rotate(page, license_, 0)
    assert [code_of(key) for key in (new, planned, leaked)] == ["VALID", "NOT_FOUND", "NOT_FOUND"]
    with tenancy.system("test"):
        assert not license_.activations.exists()


def test_a_server_is_removed_by_hand(page: Client, acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    key = vault.decrypt(license_.key_encrypted)
    seat = activations.activate(license_key=key, fingerprint="server-1", label="web-1")
    address = reverse("license-remove-server", args=[license_.pk])
    viewer = page_of(join(acme, "vic@acme.example", Role.VIEWER))
    assert viewer.post(address, {"activation": seat.activation.pk}).status_code == 403
    gone = page.post(address, {"activation": seat.activation.pk}, follow=True)
    assert "web-1 was removed. You can activate another server." in gone.content.decode()
    again = page.post(address, {"activation": seat.activation.pk}, follow=True)
    assert "This server is no longer activated." in again.content.decode()
    assert page.post(address, {"activation": "nonsense"}).status_code == 404
    with tenancy.system("test"):
        assert not license_.activations.exists()


@pytest.mark.parametrize("name", ["license-reveal", "license-rotate"])
def test_a_viewer_may_look_but_not_reveal(acme: Organization, make_license, name: str) -> None:
    license_ = make_license(acme)
    viewer = page_of(join(acme, "vic@acme.example", Role.VIEWER))
    reauthenticate(viewer)
    html = viewer.get(reverse("license", args=[license_.pk])).content.decode()
    assert "Show the key" not in html
    assert viewer.post(reverse(name, args=[license_.pk])).status_code == 403


def test_a_suspended_license_says_why_and_what_to_do(page: Client, acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    with tenancy.system("test"):
        licenses.suspend_for_payment(license_id=license_.pk, now=NOW)
    html = page.get(reverse("license", args=[license_.pk])).content.decode()
    assert "Suspended: payment overdue" in html
    assert reverse("billing") in html


def test_a_license_that_is_over_does_not_say_how_to_check_it(
    page: Client, acme: Organization, make_license
) -> None:
    license_ = make_license(acme, "nextpanel-starter")
    address = reverse("license", args=[license_.pk])
    assert "Check it from your panel" in page.get(address).content.decode()
    with tenancy.system("test"):
        License.objects.filter(pk=license_.pk).update(status="revoked")
    assert "Check it from your panel" not in page.get(address).content.decode()


def test_a_license_that_staff_suspended_names_reason_contact_and_what_is_charged(
    page: Client, acme: Organization, make_license, settings
) -> None:
    settings.SUPPORT_EMAIL = "help@example.com"
    item = paid_item(acme, "nextpanel-starter")
    with tenancy.system("test"):
        subscribe(item, current_period_end=timezone.now() + timedelta(days=20))
        license_ = issue_for(item=item, now=NOW)
        staff = User.objects.create_user("sam@superagent.example", full_name="Sam", is_staff=True)
        moderation.suspend(license_id=license_.pk, reason="Chargeback received", actor=staff, now=NOW)
    html = page.get(reverse("license", args=[license_.pk])).content.decode()
    assert "The reason: Chargeback received." in html
    assert "mailto:help@example.com" in html
    assert "Renewals are not charged while it is suspended." in html
    assert "Renews" not in html
    dashboard = page.get(reverse("dashboard")).content.decode()
    assert "NextPanel Starter is suspended" in dashboard
    assert reverse("license", args=[license_.pk]) in dashboard


def test_the_list_costs_the_same_for_one_and_for_many(
    page: Client, acme: Organization, make_license, django_assert_max_num_queries
) -> None:
    for _ in range(6):
        make_license(acme)
    page.get(reverse("licenses"))
    with django_assert_max_num_queries(14):
        page.get(reverse("licenses"))


# --- Buying -----------------------------------------------------------------------------------------------------------


def test_buying_places_an_order_for_what_was_shown(page: Client, acme: Organization) -> None:
    with tenancy.system("test"):
        BillingAccount.objects.filter(organization=acme).update(
            payment_method_id="pm_1", card_brand="visa", card_last_four="4242"
        )
    address = f"{reverse('license-buy', args=['nextpanel-professional'])}?interval=year"
    html = page.get(address).content.decode()
    assert "$190.00" in html
    assert "Visa ending in 4242" in html
    [visit] = re.findall(r'name="visit" value="([0-9a-f-]{36})"', html)
    form = {"payment": "saved_card", "max_total": "19000", "visit": visit}
    response = page.post(address, form)
    assert response.status_code == 302
    assert page.post(address, form)["Location"] == response["Location"]  # sent twice, it is one order
    with tenancy.system("test"):
        order = Order.objects.get(organization=acme)
        item = order.items.get()
    assert (order.total, order.payment, item.product.slug) == (19_000, "saved_card", "nextpanel-professional")
    assert response["Location"] == reverse("order", args=[order.pk])
    assert "Your saved card is being charged" in page.get(response["Location"]).content.decode()
    assert item.options == {"interval": "year"}


def test_the_way_back_from_the_purchase_page_is_a_link_that_buys_nothing(page: Client) -> None:
    html = page.get(reverse("license-buy", args=["nextpanel-starter"])).content.decode()
    form = html.split('name="max_total"')[1].split("</form>")[0]
    assert re.findall(r'<a class="button[^"]*" href="([^"]*)"><span>Back to licenses', form) == [
        reverse("licenses")
    ]
    assert form.count('type="submit"') == 1


def test_a_price_that_rose_meanwhile_is_not_paid(page: Client, acme: Organization) -> None:
    address = reverse("license-buy", args=["nextpanel-starter"])
    response = page.post(address, {"payment": "checkout", "max_total": "100", "visit": str(uuid7())})
    assert response.status_code == 422
    assert "The total is 900 usd now" in response.content.decode()
    with tenancy.system("test"):
        assert not Order.objects.exists()


def test_what_is_not_for_sale_is_404(page: Client) -> None:
    assert page.get(reverse("license-buy", args=["pro"])).status_code == 404
    assert (
        page.get(reverse("license-buy", args=["nextpanel-starter"]) + "?interval=decade").status_code == 404
    )


def test_an_unverified_address_cannot_buy(db: None) -> None:
    user = person("una@acme.example", verified=False)
    founded("Una", user)
    with tenancy.system("test"):
        seed.write()
    response = page_of(user).get(reverse("license-buy", args=["nextpanel-starter"]))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("verify-email"))


# --- Admin ------------------------------------------------------------------------------------------------------------
