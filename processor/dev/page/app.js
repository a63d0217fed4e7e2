// The app: signs its user in, asks for payments, and believes what the service knows.

import { call, eventsOf } from "/sandbox/api.js";
import * as device from "/sandbox/device.js";
import { button, el, facts, short, show } from "/sandbox/dom.js";
import { onAppLink, openInWallet, showCode } from "/sandbox/links.js";
import * as oauth2 from "/sandbox/oauth2.js";

const APP = "demo";
const SHOP = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe";
const RETURN_URL = { app: "demo-shop://signed" };
const STEPS = {
  created: ["Asked", "Xumm has the request"],
  opened: ["On the phone’s screen", "reported"],
  signed: ["Signed", "reported, being proven"],
  rejected: ["Declined", "reported"],
  expired: ["Expired", "reported"],
};
const OUTCOMES = {
  signed: ["Signature proven", "good"],
  validated: ["Paid. Final on the ledger", "good"],
  failed: ["The payment failed", "bad"],
  rejected: ["Declined", "bad"],
  cancelled: ["Withdrawn", "bad"],
  expired: ["Expired unsigned", "bad"],
};

const screen = document.getElementById("app");
let session = null;
let asking = null; // the request on the screen

function title(text, note) {
  return [el("h3", {}, text), note ? el("p", { class: "muted" }, note) : null];
}

async function tried(work) {
  screen.querySelector("[role=alert]")?.remove();
  try {
    await work();
  } catch (error) {
    screen.append(el("p", { role: "alert", class: "alert" }, error.message));
  }
}

function home() {
  leave();
  if (session === null) {
    const ways = el("div", { class: "ways" }, button("Sign in with your wallet", () => tried(signIn), "primary"),
      button("Sign in with OAuth2", () => tried(() => oauth2.leave(APP)), "quiet"));
    show(screen, el("div", { class: "hero" }, el("span", { class: "logo", "aria-hidden": "true" }, "D"),
      ...title("Demo shop", "No password. You prove by a signature that the account is yours.")), ways);
    return;
  }
  const amount = el("input", { id: "amount", type: "number", min: "0.000001", max: "1000000", step: "any", required: true, value: "10" });
  const note = el("input", { id: "note", type: "text", maxlength: "280", value: "Two tickets, row 7", autocomplete: "off" });
  const pay = (event) => {
    event.preventDefault();
    tried(() => askForPayment(amount.value, note.value));
  };
  show(screen, el("div", { class: "who" }, el("span", { class: "avatar", "aria-hidden": "true" }, session.account.slice(1, 3)),
    el("div", {}, el("h3", {}, "Signed in"), el("p", { class: "mono muted" }, short(session.account)))),
  el("form", { onsubmit: pay }, el("label", { for: "amount" }, "Amount in XRP"), amount,
    el("label", { for: "note" }, "Note in the wallet"), note, el("button", { class: "primary" }, "Ask for the payment")),
  el("p", { class: "muted small" }, `Pushes go to this device, ${device.ending()}.`), button("Sign out", () => tried(signOut), "quiet"));
}

async function enter(made) {
  session = made;
  await device.register(session.token);
}

async function signOut() {
  await device.remove(session.token);
  await call("DELETE", "/v1/session", { bearer: session.token });
  session = null;
  home();
}

async function signIn() {
  const created = await call("POST", "/v1/sign-in", { body: { app: APP, return_url: RETURN_URL } });
  ask(created, { heading: "Sign in", bearer: created.exchange_secret, done: async (event) => {
    if (event.type === "xumm.resolve.signed") await enter(await call("POST", created.session_url, { bearer: created.exchange_secret }));
  } });
}

async function askForPayment(amount, note) {
  const order = 1000 + (crypto.getRandomValues(new Uint16Array(1))[0] % 9000);
  const created = await call("POST", "/v1/sign-requests", {
    bearer: session.token,
    headers: { "Idempotency-Key": crypto.randomUUID() },
    body: {
      app: APP,
      txjson: { TransactionType: "Payment", Destination: SHOP, Amount: String(Math.round(Number(amount) * 1_000_000)), DestinationTag: order },
      submit: true,
      expire: 15,
      identifier: `order-${order}-${crypto.randomUUID().slice(0, 4)}`,
      instruction: note || null,
      return_url: RETURN_URL,
    },
  });
  ask(created, { heading: `Order ${order}: ${Number(amount)} XRP`, bearer: session.token, withdraw: true, done: async () => {} });
}

// The screen of one request: the ways to the wallet, then what happens to it.
function ask(created, { heading, bearer, withdraw = false, done }) {
  leave();
  const steps = el("ol", { class: "steps", "aria-label": "What happened", "aria-live": "polite" });
  const back = el("div", { class: "back" });
  asking = { created, bearer, steps, back, stop: new AbortController(), ended: false };
  const pushed = created.delivery === "push";
  const ways = pushed
    ? el("div", { class: "way pushed" }, el("p", {}, el("strong", {}, "Sent to your phone.")), el("p", { class: "muted" }, "Confirm it there."))
    : el("div", { class: "way" },
      el("figure", {}, el("img", { src: created.qr.png, alt: "Code to scan with the wallet", width: "148", height: "148" })),
      el("div", {}, el("p", { class: "muted" }, "Scan the code with the phone, or, if the wallet is on this device:"),
        button("Open the wallet", () => openInWallet(created.link), "primary")));
  const cancel = withdraw ? button("Withdraw", () => tried(() => call("DELETE", created.status_url, { bearer })), "quiet") : null;
  show(screen, ...title(heading), ways, steps, back, el("div", { class: "row end" }, cancel, button(withdraw ? "Leave" : "Back", home, "quiet")));
  if (!pushed) showCode(created.link);
  follow(asking, ways, cancel, done).catch((error) => tried(() => { throw error; }));
}

async function follow(request, ways, cancel, done) {
  for await (const event of eventsOf(request.created.events_url, request.bearer, request.stop.signal)) {
    const [, family, name] = event.type.split(".");
    if (family === "sign") {
      if (name !== "created") { ways.classList.add("over"); cancel?.setAttribute("hidden", ""); }
      if (STEPS[name]) request.steps.append(step(...STEPS[name], name === "signed" ? "wait" : ""));
      continue;
    }
    await done(event);
    if (request.stop.signal.aborted) return;
    conclude(request, ways, cancel, name, event);
  }
}

function conclude(request, ways, cancel, name, event) {
  request.ended = true;
  for (const waiting of request.steps.querySelectorAll(".wait")) {
    waiting.classList.remove("wait");
    waiting.querySelector("small").textContent = "reported";
  }
  showCode(null);
  ways.remove();
  cancel?.remove();
  const [text, kind] = OUTCOMES[name] ?? [name, ""];
  const ledger = event.data.proof?.ledger;
  request.steps.append(step(text, ledger ? `in ledger ${ledger.ledger_index}` : "checked against Xumm’s API", kind));
  const last = screen.querySelector(".end");
  const worked = last.contains(document.activeElement);
  const on = button("Continue", home, "primary");
  last.replaceChildren(on);
  if (worked) on.focus();
  refreshKnown(request);
}

const step = (text, note, kind) => el("li", { class: kind }, el("span", {}, text), el("small", {}, note));

// A link came back to the app. It may be anybody's: only its state is used, and only to ask.
onAppLink(async (link) => {
  const request = asking;
  const said = new URLSearchParams(link.slice(link.indexOf("?") + 1));
  if (request === null) return;
  request.back.replaceChildren(
    el("section", { class: "claim" }, el("h4", {}, "What the link claims"),
      facts([["payload", short(said.get("id"))], ["order", short(said.get("cid"))], ["txid", short(said.get("txid"))]])),
    el("section", { class: "known" }, el("h4", {}, "What is known"), el("p", { class: "muted" }, "Asking …")));
  await tried(async () => known(request, await call("GET", `/v1/return?state=${encodeURIComponent(said.get("state"))}`)));
  if (request.ended) await refreshKnown(request);
});

async function refreshKnown(request) {
  if (request.back.childElementCount === 0) return;
  await tried(async () => known(request, await call("GET", request.created.status_url, { bearer: request.bearer })));
}

function known(request, status) {
  const place = request.back.querySelector(".known");
  place.replaceChildren(el("h4", {}, "What is known"), facts([
    ["outcome", status.outcome ?? "not proven yet"], ["account", short(status.account)],
    ["txid", short(status.txid)], ["reported", status.reported.filter((name) => name in STEPS).join(", ")]]));
}

function leave() {
  asking?.stop.abort();
  asking = null;
  showCode(null);
}

home();
tried(async () => {
  const made = await oauth2.cameBack();
  if (made === null) return;
  await enter(made);
  home();
});
