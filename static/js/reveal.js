// [data-reveal] shows the secret of its field and hides it again after half a minute; a secret that is shown once
// warns before the page is left uncopied.
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");
const HIDE_AFTER_MS = 30000;

function set(button, isShown) {
  const source = button.closest("[data-copy-scope]").querySelector("[data-copy-source]");
  source.textContent = isShown ? source.dataset.secret : source.dataset.masked;
  button.setAttribute("aria-pressed", String(isShown));
  button.querySelector("span").textContent = isShown ? words.hide : words.show;
  clearTimeout(button.hideTimer);
  if (isShown) button.hideTimer = setTimeout(() => set(button, false), HIDE_AFTER_MS);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reveal]");
  if (button) set(button, button.getAttribute("aria-pressed") !== "true");
});

const once = () => document.querySelector("[data-secret-once]:not([data-was-copied])");
const markCopied = (event) => event.target.closest?.("[data-secret-once]")?.setAttribute("data-was-copied", "");
document.addEventListener("ui:copied", markCopied);
document.addEventListener("copy", (event) => markCopied({ target: event.target.nodeType === 1 ? event.target : event.target.parentElement }));
window.addEventListener("beforeunload", (event) => {
  if (once()) event.preventDefault();
});
