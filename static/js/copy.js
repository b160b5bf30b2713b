// [data-copy] copies its own text, or [data-copy-source] in the same [data-copy-scope]; says so for two seconds.
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");
const SHOWN_MS = 2000;

function textOf(button) {
  if (button.dataset.copy) return button.dataset.copy;
  const source = button.closest("[data-copy-scope]")?.querySelector("[data-copy-source]");
  if (!source) return "";
  return source.dataset.secret ?? source.value ?? source.textContent;
}

function say(button, text) {
  const label = button.querySelector("span:not(.sr-only)");
  if (label) {
    button.dataset.label ??= label.textContent;
    label.textContent = text;
  }
  button.classList.add("is-copied");
  clearTimeout(button.copyTimer);
  button.copyTimer = setTimeout(() => {
    if (label) label.textContent = button.dataset.label;
    button.classList.remove("is-copied");
  }, SHOWN_MS);
  document.dispatchEvent(new CustomEvent("ui:announce", { detail: text }));
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(textOf(button));
    say(button, words.copied);
    button.dispatchEvent(new CustomEvent("ui:copied", { bubbles: true }));
  } catch {
    say(button, words.copyFailed);
  }
});
