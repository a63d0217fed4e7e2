// What the operating systems of phones do: hand a link to the app that it belongs to, and let a camera see a code.

const passing = new EventTarget();
let code = null;

export const openInWallet = (link) => passing.dispatchEvent(new CustomEvent("wallet", { detail: link }));
export const onWalletLink = (heard) => passing.addEventListener("wallet", (event) => heard(event.detail));

export const openInApp = (link) => passing.dispatchEvent(new CustomEvent("app", { detail: link }));
export const onAppLink = (heard) => passing.addEventListener("app", (event) => heard(event.detail));

// The code that the app has on its screen, for the phone's camera; null for none.
export function showCode(link) {
  code = link;
  passing.dispatchEvent(new Event("code"));
}
export const visibleCode = () => code;
export const onCode = (heard) => passing.addEventListener("code", heard);

export const payloadOf = (link) => /\/sign\/([0-9a-f-]{36})$/.exec(link ?? "")?.[1] ?? null;
