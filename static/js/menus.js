// <details class="menu"> close when one clicks or tabs elsewhere, or presses Escape. Arrows move between items.
const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("focusin", (event) => {
  for (const menu of openMenus()) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) return;
  if (event.key === "Escape") {
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopPropagation();
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const items = [...menu.querySelectorAll("a.menu-item, button.menu-item")];
  if (!items.length) return;
  event.preventDefault();
  const step = event.key === "ArrowDown" ? 1 : -1;
  const index = items.indexOf(document.activeElement);
  const next = index < 0 ? (step > 0 ? 0 : items.length - 1) : (index + step + items.length) % items.length;
  items[next].focus();
});

// The drawer of phones closes when one of its links is followed.
document.getElementById("sidebar")?.addEventListener("click", (event) => {
  const sidebar = event.currentTarget;
  if (event.target.closest("a[href]") && sidebar.matches(":popover-open")) sidebar.hidePopover();
});

// A row of tabs that is wider than the phone begins with the one that is open in sight.
for (const current of document.querySelectorAll(".tabs [aria-current]")) {
  const row = current.closest(".tabs");
  row.scrollLeft = current.offsetLeft - (row.clientWidth - current.offsetWidth) / 2;
}
