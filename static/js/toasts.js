// Toasts close by themselves after eight seconds, never while one points at them or has the focus inside.
const STAYS_MS = 8000;
const box = document.getElementById("toasts");

function arrange() {
  if (!box?.showPopover) return;
  const hasToasts = Boolean(box.querySelector("[data-toast]"));
  if (hasToasts && !box.matches(":popover-open")) box.showPopover();
  if (!hasToasts && box.matches(":popover-open")) box.hidePopover();
}

function close(toast) {
  toast.remove();
  arrange();
}

function start(toast) {
  if (toast.dataset.started) return;
  toast.dataset.started = "true";
  let timer;
  const run = () => { clearTimeout(timer); timer = setTimeout(() => close(toast), STAYS_MS); };
  const hold = () => clearTimeout(timer);
  toast.addEventListener("pointerenter", hold);
  toast.addEventListener("pointerleave", run);
  toast.addEventListener("focusin", hold);
  toast.addEventListener("focusout", run);
  toast.querySelector("[data-toast-close]")?.addEventListener("click", () => close(toast));
  run();
}

function setUp() {
  for (const toast of document.querySelectorAll("[data-toast]")) {
    if (box && toast.parentElement !== box && !toast.closest("[data-toast-static]")) box.append(toast);
    if (!toast.closest("[data-toast-static]")) start(toast);
  }
  arrange();
}

setUp();
document.addEventListener("htmx:load", setUp);
