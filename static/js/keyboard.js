// Shortcuts: "/" search on this page, "?" the list, "g" and a letter to go to a page. Can be switched off for good.
const KEY = "shortcuts-off";
const CHORD_MS = 1200;
const list = document.getElementById("shortcuts");
const toggle = document.getElementById("shortcuts-on");
let isOff = false;
try { isOff = localStorage.getItem(KEY) === "1"; } catch { isOff = false; }
let chordUntil = 0;

const links = [...document.querySelectorAll("a[data-chord]")];
const rows = document.getElementById("shortcut-chords");
for (const link of links) {
  const row = document.createElement("div");
  row.className = "keyline";
  const name = document.createElement("span");
  name.textContent = link.textContent.trim();
  const keys = document.createElement("span");
  keys.className = "keys";
  for (const letter of ["g", link.dataset.chord]) {
    const key = document.createElement("kbd");
    key.textContent = letter.toUpperCase();
    keys.append(key);
  }
  row.append(name, keys);
  rows?.append(row);
}

if (toggle) {
  toggle.checked = !isOff;
  toggle.addEventListener("change", () => {
    isOff = !toggle.checked;
    try { localStorage.setItem(KEY, isOff ? "1" : "0"); } catch { /* private mode: holds for this page */ }
  });
}

const isTyping = (target) => target.isContentEditable || target.matches?.("input, textarea, select, [role=combobox]");

document.addEventListener("keydown", (event) => {
  if (isOff || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  if (Date.now() < chordUntil) {
    chordUntil = 0;
    const link = links.find((candidate) => candidate.dataset.chord === event.key.toLowerCase());
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (event.key === "g") {
    chordUntil = Date.now() + CHORD_MS;
  } else if (event.key === "?") {
    event.preventDefault();
    list?.showModal();
  } else if (event.key === "/") {
    const search = document.querySelector("main input[type=search]");
    event.preventDefault();
    if (search) search.focus();
    else document.dispatchEvent(new CustomEvent("ui:palette"));
  }
});
