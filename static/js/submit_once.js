// A form that posts is sent once: its button is busy until the answer is there. The server is idempotent besides.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const method = event.submitter?.formMethod || form.method;
  if (event.defaultPrevented || method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "true";
  const button = event.submitter?.matches(".button") ? event.submitter : null;
  button?.setAttribute("aria-busy", "true");
});

function wake(form) {
  delete form.dataset.sent;
  for (const button of form.querySelectorAll("[aria-busy=true]")) button.removeAttribute("aria-busy");
}

// A page that comes back from the browser's memory, and htmx answers, wake the form again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("form[data-sent]").forEach(wake);
});
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target.closest?.("form");
  if (form) wake(form);
});
