// Ctrl/⌘ K: every link of the navigation and of the menus, found by typing.
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");
const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("[role=listbox]");
let chosen = 0;

function pages() {
  const seen = new Set();
  return [...document.querySelectorAll("#sidebar a[href], main a[data-palette]")].flatMap((link) => {
    const name = link.textContent.trim();
    if (!name || link.classList.contains("brand") || seen.has(link.href)) return [];
    seen.add(link.href);
    const section = link.closest(".nav-section")?.querySelector(".nav-heading")?.textContent || "";
    return [{ name, section, href: link.href, icon: link.querySelector("svg") }];
  });
}

function score(page, typed) {
  const text = `${page.name} ${page.section}`.toLowerCase();
  if (!typed) return 1;
  if (page.name.toLowerCase().startsWith(typed)) return 4;
  if (text.includes(typed)) return 3;
  let at = -1;
  for (const letter of typed) {
    at = text.indexOf(letter, at + 1);
    if (at < 0) return 0;
  }
  return 1;
}

function option(page, index) {
  const row = document.createElement("div");
  row.id = `palette-${index}`;
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", String(index === chosen));
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

function render() {
  const typed = input.value.trim().toLowerCase();
  const found = pages().map((page) => [score(page, typed), page]).filter(([points]) => points).sort((a, b) => b[0] - a[0]);
  chosen = Math.max(0, Math.min(chosen, found.length - 1));
  list.replaceChildren(...found.map(([, page], index) => option(page, index)));
  if (!found.length) {
    const nothing = document.createElement("p");
    nothing.className = "palette-empty";
    nothing.textContent = words.noMatch;
    list.append(nothing);
  }
  mark();
}

function mark() {
  const rows = [...list.querySelectorAll("[role=option]")];
  rows.forEach((row, index) => row.setAttribute("aria-selected", String(index === chosen)));
  const row = rows[chosen];
  if (row) {
    input.setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({ block: "nearest" });
  } else {
    input.removeAttribute("aria-activedescendant");
  }
}

function open() {
  const sidebar = document.getElementById("sidebar");
  if (sidebar?.matches(":popover-open")) sidebar.hidePopover();
  input.value = "";
  chosen = 0;
  if (!dialog.open) dialog.showModal();
  input.focus();
  render();
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
  input.addEventListener("input", () => { chosen = 0; render(); });
  input.addEventListener("keydown", (event) => {
    const rows = list.querySelectorAll("[role=option]");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!rows.length) return;
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + rows.length) % rows.length;
      mark();
    } else if (event.key === "Escape") {
      event.preventDefault(); // a search field would only clear itself
      dialog.close();
    } else if (event.key === "Enter" && rows[chosen]) {
      event.preventDefault();
      location.assign(rows[chosen].dataset.href);
    }
  });
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) location.assign(row.dataset.href);
  });
  list.addEventListener("pointermove", (event) => {
    const row = event.target.closest("[role=option]");
    if (!row) return;
    chosen = [...list.children].indexOf(row);
    mark();
  });
}
