"""The sandbox's own pages and switches under /_sandbox: index, mail, deliveries, events, faults."""

import json

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from superagent.sandbox import mail
from superagent.sandbox.pages.forms import over
from superagent.sandbox.pages.rendering import page
from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe import deliveries, moment
from superagent.sandbox.stripe.faults import BadFault, faults

# Nothing runs and nothing is fetched; a link opens in a window of its own.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
SHOWN = 100


async def index(_request: Request) -> Response:
    """GET /_sandbox/"""
    counts = {
        kind: sum(1 for _ in store.each(kind))
        for kind in ("customer", "subscription", "invoice", "event", "_delivery", "_mail", "webhook_endpoint")
    }
    return page(
        "index.html",
        counts=counts,
        url=settings.url,
        faults=faults.describe(),
        endpoints=list(store.each("webhook_endpoint")),
        clocks=list(store.each("test_helpers.test_clock"))[::-1],
    )


async def to_index(_request: Request) -> Response:
    """GET /"""
    return RedirectResponse("/_sandbox/")


async def mails(request: Request) -> Response:
    """GET /_sandbox/mail"""
    to = request.query_params.get("to", "").strip()
    return page("mail.html", messages=[mail.bare(item) for item in mail.kept(to or None)[:SHOWN]], to=to)


async def one_mail(request: Request) -> Response:
    """GET /_sandbox/mail/{id}"""
    item = store.find("_mail", request.path_params["mail"])
    if item is None:
        return over("There is no such message.", 404)
    return page("message.html", message=mail.bare(item), wire=item["wire"], frames=True)


async def mail_body(request: Request) -> Response:
    """GET /_sandbox/mail/{id}/html: the message alone, in a policy that lets nothing run or load."""
    item = store.find("_mail", request.path_params["mail"])
    if item is None:
        return Response(status_code=404)
    headers = {"Content-Security-Policy": MAIL_POLICY, "X-Content-Type-Options": "nosniff"}
    html = item["wire"].get("HtmlBody") or ""
    return HTMLResponse(f'<base target="_blank">{html}', headers=headers)


async def delivery_log(request: Request) -> Response:
    """GET /_sandbox/stripe/deliveries.json"""
    query = request.query_params
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 200
    return JSONResponse(deliveries.log(query.get("endpoint"), query.get("event"), limit))


async def redeliver(request: Request) -> Response:
    """POST /_sandbox/stripe/events/{id}/redeliver"""
    event_id = request.path_params["event"]
    if store.find("event", event_id) is None:
        return JSONResponse({"error": f"No such event: {event_id}"}, 404)
    return JSONResponse({"event": event_id, "deliveries": deliveries.redeliver(event_id)})


async def switch_faults(request: Request) -> Response:
    """GET, POST or DELETE /_sandbox/stripe/faults"""
    if request.method == "POST":
        try:
            body = json.loads(await request.body())
            faults.switch(body)
        except (BadFault, ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, 400)
    elif request.method == "DELETE":
        faults.clear()
    deliveries.sender.nudge()
    return JSONResponse(faults.describe())


async def set_back(request: Request) -> Response:
    """POST /_sandbox/stripe/customers/{id}/set_back {"seconds": N}"""
    customer_id = request.path_params["customer"]
    if store.find("customer", customer_id) is None:
        return JSONResponse({"error": f"No such customer: {customer_id}"}, 404)
    try:
        seconds = int(json.loads(await request.body())["seconds"])
    except (ValueError, TypeError, KeyError):
        seconds = -1
    if seconds < 0:
        return JSONResponse({"error": "give `seconds`, 0 or more"}, 400)
    moment.set_back(customer_id, seconds)
    return JSONResponse({"customer": customer_id, "now": moment.now(customer_id)})


routes = [
    Route("/", to_index),
    Route("/_sandbox", to_index),
    Route("/_sandbox/", index),
    Route("/_sandbox/mail", mails),
    Route("/_sandbox/mail/{mail}", one_mail),
    Route("/_sandbox/mail/{mail}/html", mail_body),
    Route("/_sandbox/stripe/deliveries.json", delivery_log),
    Route("/_sandbox/stripe/events/{event}/redeliver", redeliver, methods=["POST"]),
    Route("/_sandbox/stripe/customers/{customer}/set_back", set_back, methods=["POST"]),
    Route("/_sandbox/stripe/faults", switch_faults, methods=["GET", "POST", "DELETE"]),
]
