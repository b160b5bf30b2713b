// Regions that htmx loads: busy while loading, and a card with Retry and the request id when loading fails. A login
// page is never put into a region: the whole page goes there. Of another page the part is taken that hx-select names by id.
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");

document.addEventListener("htmx:beforeRequest", (event) => event.detail.target?.setAttribute("aria-busy", "true"));
document.addEventListener("htmx:afterRequest", (event) => event.detail.target?.removeAttribute("aria-busy"));

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  const isWholePage = /^\s*<!doctype html/i.test(xhr.responseText || "");
  const part = event.detail.requestConfig?.elt?.getAttribute("hx-select");
  if (part && (xhr.responseText || "").includes(`id="${part.slice(1)}"`)) return;
  const isFragmentTarget = event.detail.target !== document.body;
  if (xhr.status < 400 && isWholePage && isFragmentTarget && !event.detail.boosted) {
    event.detail.shouldSwap = false;
    location.assign(xhr.responseURL || location.href);
  }
});

function problemOf(xhr) {
  try {
    return JSON.parse(xhr.responseText).detail || "";
  } catch {
    return "";
  }
}

// Only reading is repeated by itself; what changes something starts again from a fresh page.
function again({ requestConfig, pathInfo, target }) {
  if (requestConfig?.verb !== "get") {
    location.reload();
    return;
  }
  const swap = target.getAttribute("hx-swap") || "innerHTML";
  window.htmx.ajax("GET", pathInfo?.finalRequestPath || requestConfig.path, { target, swap });
}

function fail(event, text) {
  const { target, xhr } = event.detail;
  if (!target) return;
  const card = document.createElement("div");
  card.className = "region-error";
  card.setAttribute("role", "alert");
  const title = document.createElement("strong");
  title.textContent = words.failed;
  const detail = document.createElement("p");
  detail.className = "muted";
  detail.textContent = text;
  const retry = document.createElement("button");
  retry.type = "button";
  retry.className = "button button-secondary button-sm";
  retry.textContent = words.retry;
  retry.addEventListener("click", () => again(event.detail));
  card.append(title, detail);
  const id = xhr?.getResponseHeader?.("X-Request-Id");
  if (id) {
    const line = document.createElement("p");
    line.className = "meta faint";
    line.textContent = `${words.requestId}: ${id}`;
    card.append(line);
  }
  card.append(retry);
  target.replaceChildren(card);
}

document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (xhr.status === 401 || (xhr.status === 403 && xhr.getResponseHeader("X-Login-Required"))) {
    location.reload();
    return;
  }
  fail(event, problemOf(xhr) || `${xhr.status} ${xhr.statusText}`.trim());
});
document.addEventListener("htmx:sendError", (event) => fail(event, words.offline));
document.addEventListener("htmx:timeout", (event) => fail(event, words.offline));
