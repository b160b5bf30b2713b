// Checks a field when it is left after its first edit; on submit lists what is wrong and moves the focus to the list.
// Without scripts the browser's own checks and the server's answer do the same. Only forms with class "form".
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");
const FIELDS = "input:not([type=hidden], [type=submit], [type=button]), select, textarea";

function message(control) {
  const state = control.validity;
  if (state.valid) return "";
  if (control.dataset.message) return control.dataset.message;
  if (state.valueMissing) return control.type === "checkbox" ? words.tick : words.required;
  if (state.typeMismatch) return control.type === "url" ? words.url : words.email;
  if (state.tooShort) return words.tooShort.replace("{n}", control.minLength);
  if (state.tooLong) return words.tooLong.replace("{n}", control.maxLength);
  if (state.rangeUnderflow) return words.min.replace("{n}", control.min);
  if (state.rangeOverflow) return words.max.replace("{n}", control.max);
  return control.title || control.validationMessage || words.invalid;
}

function show(control) {
  const field = control.closest(".field");
  const error = field?.querySelector(".field-error");
  const text = message(control);
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
  if (!error) return text;
  error.querySelector("[data-error-text]").textContent = text;
  error.hidden = !text;
  return text;
}

function labelOf(control) {
  return (control.labels?.[0]?.textContent || control.name).replace("*", "").trim();
}

function summary(form, faults) {
  form.querySelector("[data-error-summary]")?.remove();
  if (!faults.length) return;
  const box = document.createElement("div");
  box.className = "error-summary";
  box.tabIndex = -1;
  box.setAttribute("role", "alert");
  box.dataset.errorSummary = "";
  const title = document.createElement("p");
  title.className = "error-summary-title";
  title.textContent = words.summary;
  const list = document.createElement("ul");
  for (const [control, text] of faults) {
    const link = document.createElement("a");
    link.href = `#${control.id}`;
    link.textContent = `${labelOf(control)}: ${text}`;
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  box.append(title, list);
  form.prepend(box);
  box.focus();
}

document.addEventListener("focusout", (event) => {
  const control = event.target;
  if (control.matches?.(FIELDS) && control.closest("form.form") && control.dataset.wasEdited) show(control);
});

document.addEventListener("input", (event) => {
  const control = event.target;
  if (!control.matches?.(FIELDS)) return;
  control.dataset.wasEdited = "true";
  if (control.getAttribute("aria-invalid") === "true" && control.closest("form.form")) show(control);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form.form") || event.submitter?.formNoValidate) return;
  const faults = [];
  for (const control of form.querySelectorAll(FIELDS)) {
    if (!control.willValidate) continue;
    const text = show(control);
    if (text) faults.push([control, text]);
  }
  summary(form, faults);
  if (faults.length) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}, true);

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-error-summary] a");
  const target = link && document.getElementById(link.hash.slice(1));
  if (!target) return;
  event.preventDefault();
  const control = target.matches(FIELDS) ? target : target.querySelector(FIELDS) || target;
  control.scrollIntoView({ block: "center" });
  control.focus();
});

function setUp() {
  for (const form of document.querySelectorAll("form.form")) form.noValidate = true;
}

setUp();
document.querySelector("[data-error-summary]")?.focus();
document.addEventListener("htmx:load", (event) => {
  setUp();
  event.target.querySelector?.("[data-error-summary]")?.focus();
});
