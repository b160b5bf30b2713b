// Speaks politely: document.dispatchEvent(new CustomEvent("ui:announce", { detail: "Copied" })).
const announcer = document.getElementById("announcer");

document.addEventListener("ui:announce", (event) => {
  if (!announcer) return;
  announcer.textContent = "";
  requestAnimationFrame(() => { announcer.textContent = event.detail; });
});
