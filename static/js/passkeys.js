// Says below the button why the browser gave no passkey; allauth's scripts tell the console only.
const problem = document.getElementById("passkey_problem");
const button = document.querySelector("#mfa_webauthn_add, #mfa_webauthn_authenticate, #mfa_webauthn_reauthenticate, #passkey_login");
const KINDS = { NotAllowedError: "stopped", AbortError: "stopped", SecurityError: "address", InvalidStateError: "known" };

function show(text) {
  const line = problem.firstElementChild;
  line.querySelector("span").textContent = text;
  line.hidden = !text;
}

if (problem && button) {
  (button.closest(".form-actions") || button).after(problem);
  button.addEventListener("click", () => show(""));
  document.addEventListener("allauth.error", (event) => {
    const kind = KINDS[event.detail.exception?.name];
    const isNumber = /^[\d.]+$|:/.test(location.hostname);
    const words = problem.dataset[kind === "address" && !isNumber ? "other" : kind || "other"];
    const port = location.port ? `:${location.port}` : "";
    show(words.replace("{address}", `${location.protocol}//localhost${port}${location.pathname}`));
  });
}
