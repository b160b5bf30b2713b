// Live figures: <… data-stream-url="/…"> opens an EventSource. Its `usage` events are JSON {"meters": [{meter, used}, …]};
// elements with data-live="meter" show what is used.
// data-live-meter="key" moves a <meter>, data-live-share="key" with data-limit shows the per cent of it; .live[data-live-state] tells the state of the connection.
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");
const host = document.querySelector("[data-stream-url]");
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30000;
const SPEAKS_EVERY_MS = 20000;
const numbers = new Intl.NumberFormat(document.documentElement.lang || "en");
const shares = new Intl.NumberFormat(document.documentElement.lang || "en", { style: "percent", maximumFractionDigits: 1 });
const SMALLEST = 0.001;
let source = null;
let wait = FIRST_WAIT_MS;
let spokenAt = Date.now();
let timer = 0;

function state(name) {
  for (const sign of document.querySelectorAll("[data-live-state]")) {
    sign.dataset.state = name;
    sign.textContent = name === "open" ? words.live : words.reconnecting;
  }
}

// As the server writes it: a small part is not rounded away to nothing.
const percent = (share) => (share > 0 && share < SMALLEST ? `<${shares.format(SMALLEST)}` : shares.format(share));

function put(key, value) {
  const text = numbers.format(value);
  const selector = CSS.escape(key);
  for (const element of document.querySelectorAll(`[data-live="${selector}"]`)) {
    if (element.textContent.trim() === text) continue;
    element.textContent = text;
    element.classList.remove("changed");
    void element.offsetWidth;
    element.classList.add("changed");
  }
  for (const meter of document.querySelectorAll(`[data-live-meter="${selector}"]`)) meter.value = Math.min(value, meter.max);
  for (const share of document.querySelectorAll(`[data-live-share="${selector}"]`)) share.textContent = percent(value / Number(share.dataset.limit));
}

function speak(figures) {
  if (Date.now() - spokenAt < SPEAKS_EVERY_MS) return;
  const named = document.querySelector("[data-live][data-live-name]");
  if (!named || !(named.dataset.live in figures)) return;
  spokenAt = Date.now();
  document.dispatchEvent(new CustomEvent("ui:announce", { detail: `${named.dataset.liveName}: ${named.textContent}` }));
}

function receive(event) {
  let figures;
  try {
    figures = Object.fromEntries(JSON.parse(event.data).meters.map((each) => [each.meter, each.used]));
  } catch {
    return;
  }
  for (const [key, value] of Object.entries(figures)) put(key, value);
  speak(figures);
  document.dispatchEvent(new CustomEvent("ui:live", { detail: figures }));
}

function open() {
  clearTimeout(timer);
  source = new EventSource(host.dataset.streamUrl);
  source.onopen = () => { wait = FIRST_WAIT_MS; state("open"); };
  source.addEventListener("usage", receive);
  source.onerror = () => {
    state("retrying");
    source.close();
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    stopIfLoggedOut();
  };
}

// The stream does not tell why it was refused: this page does, by leading to the login.
async function stopIfLoggedOut() {
  const answer = await fetch(location.href, { method: "HEAD", redirect: "manual" }).catch(() => null);
  if (answer?.type !== "opaqueredirect") return;
  close();
  source = null;
  for (const sign of document.querySelectorAll("[data-live-state]")) {
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = words.loggedOut;
    sign.dataset.state = "ended";
    sign.replaceChildren(link);
  }
}

function close() {
  clearTimeout(timer);
  source?.close();
}

if (host) {
  open();
  document.addEventListener("visibilitychange", () => {
    close();
    if (!document.hidden && source) open();
  });
  window.addEventListener("pagehide", close);
}
