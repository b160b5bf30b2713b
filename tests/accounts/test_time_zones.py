"""Time zones are chosen by name."""

from tests.accounts.conftest import page_of


def test_the_time_zone_of_the_profile_is_chosen_by_name(acme, owner):
    page = page_of(owner)
    page.post("/settings/profile/", {"full_name": "Olga", "time_zone": "Europe/Vienna"})
    owner.refresh_from_db()
    assert str(owner.zone) == "Europe/Vienna"
    refused = page.post("/settings/profile/", {"full_name": "Olga", "time_zone": "Mars/Olympus"})
    assert refused.status_code == 422
    owner.refresh_from_db()
    assert owner.time_zone == "Europe/Vienna"
