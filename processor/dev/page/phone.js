// The phone: the sandbox's wallet. Requests that were pushed show by themselves; others come by link or by camera.

import { Refusal, call } from "/sandbox/api.js";
import { button, el, facts, show, short, xrp } from "/sandbox/dom.js";
import { onCode, onWalletLink, openInApp, payloadOf, visibleCode } from "/sandbox/links.js";
import { onLive } from "/sandbox/live.js";

const OPEN = ["waiting", "opened", "opened_expired", "opened_cancelled"];
const NOTES = {
  opened_expired: ["Expired", "It was opened in time, so it can still be signed."],
  opened_cancelled: ["Cancelled", "It was opened just then, so it can still be signed."],
  expired: ["Expired", "Nobody opened it in time. It cannot be signed any more."],
  signed: ["Signed", "Your wallet has done its part."],
  rejected: ["Declined", "The app will be told."],
  cancelled: ["Withdrawn", "The app took it back."],
};

const screen = document.getElementById("phone");
const pushed = new Map();
let current = null;
let clock = null;

const kind = (request) => (request.tx_type === "SignIn" ? "Sign in" : request.tx_type);
const what = (request) => (typeof request.amount === "string" ? xrp(request.amount) : kind(request));

async function act(request, action) {
  try {
    const now = await call("POST", `/sandbox/phone/${request.uuid}/${action}`, { body: {} });
    pushed.delete(now.uuid);
    present(now);
    if (now.return_url && ["sign", "reject"].includes(action)) openInApp(now.return_url);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    screen.querySelector("[role=alert]")?.remove();
    screen.append(el("p", { role: "alert", class: "alert" }, error.message));
  }
}

function home() {
  current = null;
  clearInterval(clock);
  const scan = button("Scan the code", () => act({ uuid: payloadOf(visibleCode()) }, "scan"));
  scan.disabled = visibleCode() === null;
  const requests = [...pushed.values()].reverse();
  show(screen, el("h3", {}, "Wallet"),
    requests.length
      ? el("ul", { class: "notices", "aria-live": "polite" }, ...requests.map(notice))
      : el("p", { class: "muted empty", "aria-live": "polite" }, "No requests. An app can push one here, show a code, or open a link."),
    el("div", { class: "row" }, scan, button("Revoke push", revoke, "quiet")));
}

function notice(request) {
  return el("li", {}, el("div", {}, el("strong", {}, `${request.app} asks you to sign`), el("p", { class: "muted" }, what(request))),
    el("div", { class: "row" }, button("Open", () => act(request, "scan"), "primary"),
      button("Let it expire", () => act(request, "expire"), "quiet")));
}

async function revoke(event) {
  await call("DELETE", "/sandbox/phone/permission");
  event.target.replaceWith(el("p", { class: "muted small", role: "status" }, "Revoked. Apps get a new one with the next signature."));
}

function present(request) {
  current = request;
  clearInterval(clock);
  const open = OPEN.includes(request.situation);
  const [badge, note] = NOTES[request.situation] ?? [null, null];
  const time = el("p", { class: "muted small countdown" });
  show(screen,
    el("p", { class: "muted" }, `${request.app} asks`),
    el("h3", {}, kind(request)),
    typeof request.amount === "string" ? el("p", { class: "amount" }, xrp(request.amount)) : null,
    facts([["To", short(request.destination)], ["Tag", request.tag], ["Note", request.instruction]]),
    badge ? el("p", { class: `badge ${request.situation}`, role: "status" }, el("strong", {}, badge), " ", note) : time,
    open
      ? el("div", { class: "answers" }, button("Sign", () => act(request, "sign"), "primary"), button("Reject", () => act(request, "reject"), "danger"))
      : button("Done", home, "primary"),
    open ? el("div", { class: "row" }, badge ? null : button("Let it expire", () => act(request, "expire"), "quiet"), button("Close", home, "quiet")) : null);
  if (!badge) {
    const tick = () => (time.textContent = `Expires in ${remaining(request.expires_at)}`);
    tick();
    clock = setInterval(tick, 1000);
  }
}

function remaining(instant) {
  const seconds = Math.max(0, Math.round((new Date(instant) - Date.now()) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function changed(request) {
  if (request.pushed && request.situation === "waiting") pushed.set(request.uuid, request);
  else pushed.delete(request.uuid);
  if (current === null) home();
  else if (current.uuid === request.uuid && current.situation !== request.situation) present({ ...request, return_url: null });
}

onLive("phone", changed);
onCode(() => current === null && home());
onWalletLink((link) => act({ uuid: payloadOf(link) }, "open"));
home();

// What was pushed while nobody looked.
export async function look() {
  const requests = await call("GET", "/sandbox/phone");
  pushed.clear();
  requests.filter((each) => each.situation === "waiting").forEach((each) => pushed.set(each.uuid, each));
  if (current === null) home();
}
