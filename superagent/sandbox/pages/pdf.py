"""A small valid PDF of an invoice, written by hand with the reader's own Helvetica."""

from typing import Any

from superagent.sandbox.stripe import lines, moment

LEFT, RIGHT, TOP, BOTTOM = 56, 539, 786, 72
ROW = 18
WIDE = 0.55  # of the size: a generous width for one character


def _escape(text: str) -> str:
    shown = text.encode("cp1252", "replace").decode("cp1252")
    return shown.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _text(x: float, y: float, size: int, text: str, *, bold: bool = False) -> str:
    return f"BT /F{2 if bold else 1} {size} Tf {x:.1f} {y:.1f} Td ({_escape(text)}) Tj ET"


def _right(y: float, size: int, text: str, *, bold: bool = False) -> str:
    return _text(RIGHT - len(text) * size * WIDE, y, size, text, bold=bold)


def of_invoice(invoice: dict[str, Any]) -> bytes:
    """Returns the invoice as a PDF file."""
    currency = invoice["currency"]
    rows = [
        ((line["description"] or "")[:70], lines.money(line["amount"], currency))
        for line in invoice["lines"]["data"]
    ]
    sums = [("Subtotal", invoice["subtotal"])]
    sums += [("Discount", -item["amount"]) for item in invoice["total_discount_amounts"]]
    sums += [
        ("Total", invoice["total"]),
        ("Amount paid", -invoice["amount_paid"]),
        ("Amount due", invoice["amount_remaining"]),
    ]
    rows += [(name, lines.money(amount, currency)) for name, amount in sums]
    return _document(_pages(invoice, rows))


def _pages(invoice: dict[str, Any], rows: list[tuple[str, str]]) -> list[str]:
    head = [
        _text(LEFT, TOP, 20, "Invoice", bold=True),
        _text(LEFT, TOP - 28, 10, f"Number {invoice['number']}   Status {invoice['status']}"),
        _text(LEFT, TOP - 44, 10, f"Date {moment.date(invoice['created'])}"),
        _text(LEFT, TOP - 68, 10, f"From {invoice['account_name']} (test mode)"),
        _text(LEFT, TOP - 84, 10, f"To {invoice['customer_name'] or ''} {invoice['customer_email'] or ''}"),
    ]
    pages, drawn, y = [], head, TOP - 124
    for name, amount in rows:
        if y < BOTTOM:
            pages.append("\n".join(drawn))
            drawn, y = [], TOP
        drawn += [_text(LEFT, y, 10, name), _right(y, 10, amount)]
        y -= ROW
    return [*pages, "\n".join(drawn)]


def _document(pages: list[str]) -> bytes:
    numbers = [5 + 2 * index for index in range(len(pages))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
    ]
    for number, content in zip(numbers, pages, strict=True):
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            f"/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> /Contents {number + 1} 0 R >>"
        )
        objects.append(f"<< /Length {len(content.encode('cp1252'))} >>\nstream\n{content}\nendstream")
    return _assemble(objects)


def _assemble(objects: list[str]) -> bytes:
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
    start = len(out)
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return out
