// Dialogs open by command/commandfor; this serves browsers without that, clicks on the backdrop, and typed names.
const hasCommands = "commandForElement" in HTMLButtonElement.prototype;
const hasClosedBy = "closedBy" in HTMLDialogElement.prototype;

if (!hasCommands) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[commandfor]");
    const target = button && document.getElementById(button.getAttribute("commandfor"));
    if (!target) return;
    const command = button.getAttribute("command");
    if (command === "show-modal" && !target.open) target.showModal();
    if (command === "close") target.close();
  });
}

if (!hasClosedBy) {
  document.addEventListener("click", (event) => {
    const dialog = event.target;
    if (!(dialog instanceof HTMLDialogElement) || dialog.getAttribute("closedby") !== "any") return;
    const box = dialog.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) dialog.close();
  });
}

// A typed name is asked only for what cannot be undone; the button wakes up when it is right.
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-type-to-confirm]");
  if (!form) return;
  const isRight = form.elements.confirmation.value === form.dataset.typeToConfirm;
  form.querySelector(".dialog-foot .button:last-child").disabled = !isRight;
});

for (const form of document.querySelectorAll("form[data-type-to-confirm]")) {
  form.querySelector(".dialog-foot .button:last-child").disabled = true;
}

// A server may ask for a dialog at once, for example a form that came back with errors.
for (const dialog of document.querySelectorAll("dialog[data-open]")) dialog.showModal();
