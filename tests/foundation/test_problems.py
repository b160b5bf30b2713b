"""Refusals as problem documents: the members of RFC 9457, JSON pointers, and a sentence for each field."""

from superagent.foundation.problems import Invalid, NotFound, document, pointer_to


def test_a_pointer_escapes_what_json_pointers_reserve() -> None:
    assert pointer_to() == ""
    assert pointer_to("items", 0, "product") == "/items/0/product"
    assert pointer_to("a/b", "c~d") == "/a~1b/c~0d"


def test_a_refusal_of_fields_names_them_in_its_detail() -> None:
    one = Invalid.field("/plan", "unknown_plan", "There is no plan.", plan="gold")
    assert [(error.pointer, error.code, error.detail) for error in one.errors] == [
        ("/plan", "unknown_plan", "There is no plan.")
    ]
    assert "There is no plan." in one.detail and one.facts == {"plan": "gold"}
    both = Invalid.fields([*one.errors, *Invalid.field("/interval", "not_for_sale", "Choose month.").errors])
    assert "There is no plan." in both.detail and "Choose month." in both.detail


def test_a_document_has_the_members_of_the_standard_first() -> None:
    made = document(
        status=404,
        code="not_found",
        title="There is no such object",
        detail="No order has this id.",
        request_id="r1",
    )
    assert list(made)[:4] == ["type", "title", "status", "detail"]
    assert (made["status"], made["code"], made["request_id"]) == (404, "not_found", "r1")
    assert made["type"].endswith("not_found")


def test_a_refusal_without_a_sentence_of_its_own_says_its_title() -> None:
    assert NotFound().detail == NotFound.title
