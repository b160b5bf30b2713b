// Ctrl/⌘ K: every link of the navigation and of the menus, and the organization's records, found by typing.
// The records come from the server (data-search-url) as options; pages are known here, so they show at once.
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");
const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("[role=listbox]");
const SHORTEST = 2;
const PAUSE_MS = 150;
const GOOD = 3; // a page that contains what was typed; weaker ones come after the records
let chosen = 0;
let records = [];
let timer = 0;
let asked = null; // the look-up under way
let isEntered = false; // Enter was pressed before the records were here

function pages() {
  const seen = new Set();
  const links = [...document.querySelectorAll("#sidebar a[href], main a[data-palette]")].flatMap((link) => {
    const name = link.textContent.trim();
    if (!name || link.classList.contains("brand") || seen.has(link.href)) return [];
    seen.add(link.href);
    const section = link.closest(".nav-section")?.querySelector(".nav-heading")?.textContent || "";
    return [{ name, section, href: link.href, icon: link.querySelector("svg"), isLast: "paletteLast" in link.dataset }];
  });
  return links.sort((a, b) => a.isLast - b.isLast); // what begins something new is never the first choice
}

function score(page, typed) {
  const text = `${page.name} ${page.section}`.toLowerCase();
  if (!typed) return 1;
  if (page.name.toLowerCase().startsWith(typed)) return GOOD + 1;
  if (text.includes(typed)) return GOOD;
  let at = -1;
  for (const letter of typed) {
    at = text.indexOf(letter, at + 1);
    if (at < 0) return 0;
  }
  return 1;
}

function option(page) {
  const row = document.createElement("div");
  row.setAttribute("role", "option");
  row.dataset.href = page.href;
  const name = document.createElement("span");
  name.textContent = page.name;
  if (page.icon) row.append(page.icon.cloneNode(true));
  row.append(name);
  if (page.section) {
    const where = document.createElement("span");
    where.className = "where";
    where.textContent = page.section;
    row.append(where);
  }
  return row;
}

const options = () => [...list.querySelectorAll("[role=option]")];

function render() {
  const typed = input.value.trim().toLowerCase();
  const found = pages().map((page) => [score(page, typed), page]).filter(([points]) => points).sort((a, b) => b[0] - a[0]);
  const good = found.filter(([points]) => points >= GOOD || !typed);
  const weak = found.filter(([points]) => points < GOOD && typed);
  list.replaceChildren(...good.map(([, page]) => option(page)), ...records, ...weak.map(([, page]) => option(page)));
  const rows = options();
  rows.forEach((row, index) => { row.id = `palette-${index}`; });
  chosen = Math.max(0, Math.min(chosen, rows.length - 1));
  if (!rows.length) {
    const nothing = document.createElement("p");
    nothing.className = "palette-empty";
    nothing.textContent = timer || asked ? words.searching : words.noMatch;
    list.append(nothing);
  }
  mark();
}

function mark() {
  const rows = options();
  rows.forEach((row, index) => row.setAttribute("aria-selected", String(index === chosen)));
  const row = rows[chosen];
  if (row) {
    input.setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({ block: "nearest" });
  } else {
    input.removeAttribute("aria-activedescendant");
  }
}

// A key that was pasted whole does not leave the browser: its start, or a license's last group, finds it.
const withoutSecret = (text) => text.replace(/^(sa_(?:test|live)_\w{4}).+$/s, "$1").replace(/^NP-(?:[0-9A-Z]+-)+([0-9A-Z]+)$/i, "$1");

async function look() {
  timer = 0;
  const look = new AbortController();
  asked = look;
  const address = `${dialog.dataset.searchUrl}?q=${encodeURIComponent(withoutSecret(input.value.trim()))}`;
  let html = "";
  try {
    const answer = await fetch(address, { headers: { "HX-Request": "true" }, signal: look.signal });
    if (answer.ok && !answer.redirected) html = await answer.text();
  } catch {
    if (look.signal.aborted) return; // something else was typed
  }
  if (asked !== look) return;
  asked = null;
  const made = document.createElement("template");
  made.innerHTML = html;
  records = [...made.content.querySelectorAll("[role=option]")];
  render();
  if (isEntered) follow(options()[chosen]);
  isEntered = false;
}

function search() {
  clearTimeout(timer);
  asked?.abort();
  asked = null;
  timer = 0;
  records = [];
  isEntered = false;
  chosen = 0;
  if (input.value.trim().length >= SHORTEST) timer = setTimeout(look, PAUSE_MS);
  render();
}

function follow(row) {
  if (!row) return;
  dialog.close();
  location.assign(row.dataset.href);
}

function open() {
  const sidebar = document.getElementById("sidebar");
  if (sidebar?.matches(":popover-open")) sidebar.hidePopover();
  input.value = "";
  if (!dialog.open) dialog.showModal();
  input.focus();
  search();
}

if (dialog) {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (dialog.open) dialog.close();
      else open();
    }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-palette-open]")) open(); });
  document.addEventListener("ui:palette", open);
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    const rows = options();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!rows.length) return;
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + rows.length) % rows.length;
      mark();
    } else if (event.key === "Escape") {
      event.preventDefault(); // a search field would only clear itself
      dialog.close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (timer || asked) isEntered = true; // the records are on their way
      else follow(rows[chosen]);
    }
  });
  list.addEventListener("click", (event) => follow(event.target.closest("[role=option]")));
  list.addEventListener("pointermove", (event) => {
    const row = event.target.closest("[role=option]");
    if (!row) return;
    chosen = options().indexOf(row);
    mark();
  });
}
