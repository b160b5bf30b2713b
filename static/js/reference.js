// The API reference: find an operation by its words, and keep the chosen language of the examples.
const search = document.querySelector("[data-reference-search]");
const found = document.querySelector("[data-reference-found]");
const entries = [...document.querySelectorAll("[data-reference-entry]")];
const groups = [...document.querySelectorAll(".reference-nav details")];
const wereOpen = new Map(groups.map((group) => [group, group.open]));

search?.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const entry of entries) {
    const text = entry.dataset.referenceEntry.toLowerCase();
    entry.hidden = !words.every((word) => text.includes(word));
    count += !entry.hidden;
  }
  for (const group of groups) {
    group.hidden = !group.querySelector("[data-reference-entry]:not([hidden])");
    group.open = words.length > 0 || wereOpen.get(group);
  }
  found.textContent = words.length ? String(count) : "";
});

const KEY = "reference-language";
const radios = [...document.querySelectorAll('[name="language"]')];
const kept = localStorage.getItem(KEY);
for (const radio of radios) {
  radio.checked = kept ? radio.value === kept : radio.checked;
  radio.addEventListener("change", () => localStorage.setItem(KEY, radio.value));
}
