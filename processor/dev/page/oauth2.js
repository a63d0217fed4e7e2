// Signing in through Xumm's OAuth2 provider: the browser leaves for it, and comes back with a code for a session.

import { Refusal, call } from "/sandbox/api.js";

const KEPT = "verifier";
const FAILURES = { access_denied: "You declined, or your wallet could not be verified." };

const encoded = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// What the browser was sent back with, once: the address is cleaned, so that no reload and no bookmark repeats it.
const came = new URLSearchParams(location.search);
if (came.size > 0) history.replaceState(null, "", location.pathname);

// The code is of use only to whoever holds the verifier, which stays in this tab.
export async function leave(app) {
  const verifier = encoded(crypto.getRandomValues(new Uint8Array(32)));
  const challenge = encoded(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  sessionStorage.setItem(KEPT, verifier);
  const asked = new URLSearchParams({ app, return: location.origin + location.pathname, code_challenge: challenge });
  location.assign(`/v1/oauth2/start?${asked}`);
}

// The session that the code is for; null if nobody comes back from the provider.
export async function cameBack() {
  const verifier = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (came.has("error")) throw new Refusal(FAILURES[came.get("error")] ?? "Signing in did not succeed. Try again.");
  if (!came.has("code") || verifier === null) return null;
  const made = await call("POST", "/v1/oauth2/token", { body: { code: came.get("code"), code_verifier: verifier } });
  return { token: made.access_token, account: made.account };
}
