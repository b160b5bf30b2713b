// The organization's name is filled in from the address's domain or the person's name, until it is edited.
const SHARED = new Set(["gmail", "googlemail", "outlook", "hotmail", "live", "yahoo", "icloud", "me", "proton", "protonmail", "gmx", "web", "aol", "mail"]);
const form = document.querySelector("form.form");
const organization = form?.elements.organization_name;
let isOwn = Boolean(organization?.value);

function guess() {
  const domain = (form.elements.email?.value.split("@")[1] || "").toLowerCase();
  const name = domain.split(".").slice(-2, -1)[0] || "";
  if (domain.includes(".") && name && !SHARED.has(name)) return name.charAt(0).toUpperCase() + name.slice(1);
  return form.elements.full_name?.value.trim() || "";
}

if (organization) {
  organization.addEventListener("input", () => { isOwn = true; });
  for (const field of ["email", "full_name"]) {
    form.elements[field]?.addEventListener("change", () => { if (!isOwn) organization.value = guess(); });
  }
}
