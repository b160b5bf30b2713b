// A Show/Hide button in every password field, and live ticks on the rules beside it.
const words = JSON.parse(document.getElementById("ui-strings")?.textContent || "{}");

function addToggle(box) {
  const input = box.querySelector("input[type=password]");
  if (!input || box.querySelector(".field-reveal")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "field-reveal";
  button.textContent = words.show;
  button.setAttribute("aria-label", words.showPassword);
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => {
    const isShown = input.type === "text";
    input.type = isShown ? "password" : "text";
    button.textContent = isShown ? words.show : words.hide;
    button.setAttribute("aria-label", isShown ? words.showPassword : words.hidePassword);
  });
  box.classList.add("field-with-reveal");
  box.append(button);
  input.form?.addEventListener("submit", () => { input.type = "password"; });
}

function checkRules(input) {
  for (const rule of document.querySelectorAll(`[data-rules-for="${input.name}"] [data-rule]`)) {
    const value = input.value;
    const isMet = {
      length: value.length >= Number(rule.dataset.ruleValue || 10),
      mixed: value.length > 0 && !/^\d+$/.test(value),
    }[rule.dataset.rule];
    rule.dataset.met = String(Boolean(isMet));
  }
}

const setUp = () => document.querySelectorAll("[data-password]").forEach(addToggle);
document.addEventListener("input", (event) => { if (event.target.closest("[data-password]")) checkRules(event.target); });
setUp();
document.addEventListener("htmx:load", setUp);
