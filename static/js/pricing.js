// Monthly or yearly: the links work by ?interval= without this; here the figures change in place.
const choices = [...document.querySelectorAll("[data-interval-choice]")];

function choose(interval) {
  for (const choice of choices) {
    if (choice.dataset.intervalChoice === interval) choice.setAttribute("aria-current", "true");
    else choice.removeAttribute("aria-current");
  }
  for (const part of document.querySelectorAll("[data-interval]")) part.hidden = part.dataset.interval !== interval;
  for (const link of document.querySelectorAll("a[data-plan-link]")) {
    const address = new URL(link.href);
    address.searchParams.set("interval", interval);
    link.href = address.href;
  }
}

document.addEventListener("click", (event) => {
  const choice = event.target.closest("[data-interval-choice]");
  if (!choice || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  choose(choice.dataset.intervalChoice);
  const address = new URL(location.href);
  address.searchParams.set("interval", choice.dataset.intervalChoice);
  history.replaceState(null, "", address);
  document.dispatchEvent(new CustomEvent("ui:announce", { detail: choice.textContent.trim() }));
});
