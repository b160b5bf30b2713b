"""Words for what the audit trail stores as codes."""

import pytest

from accounts.templatetags.audit_labels import action_label


@pytest.mark.parametrize(
    "action, words",
    [
        ("api_key.created", "API key created"),
        ("member.role_changed", "Member role changed"),
        ("user.log_ins_ended", "User logins ended"),
        ("", ""),
    ],
)
def test_action_label(action, words):
    assert action_label(action) == words
