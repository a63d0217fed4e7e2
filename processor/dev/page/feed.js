// What was published, the newest first, and beside each event what the consumers made of it.

import { el, short, xrp } from "/sandbox/dom.js";
import { onLive } from "/sandbox/live.js";

const KEPT = 60;
const BAD = ["rejected", "expired", "cancelled", "failed"];

const list = document.getElementById("events");
const rows = new Map();

const ROWS = {
  sign_requests: (row) => `request ${row.state}${row.failure ? `, ${row.failure}` : ""}`,
  accounts: (row) => `account ${short(row.account)} signed in`,
  payments: (row) => `received ${row.currency ? `${row.amount} ${row.currency}` : xrp(row.amount)} in ledger ${row.ledger_index}`,
};

function time(instant) {
  const at = new Date(instant);
  return `${at.toLocaleTimeString([], { hour12: false })}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

function effect(name, bound) {
  return el("div", { class: `effect ${bound ? "wait" : "none"}` }, el("span", { class: "by" }, name), el("span", { class: "did" }, bound ? "…" : "not bound"));
}

function published({ event, consumers }) {
  const again = rows.get(event.id);
  if (again) {
    again.meta.append(el("span", { class: "again" }, "came again, same id"));
    return;
  }
  const [, family, name] = event.type.split(".");
  const tone = BAD.includes(name) ? "bad" : family;
  const meta = el("div", { class: "meta" }, el("time", { datetime: event.time }, time(event.time)),
    el("span", { class: "mono", title: event.subject }, short(event.subject)), el("span", {}, `#${Number(event.sequence)}`));
  const effects = Object.fromEntries(["push", "app-state"].map((each) => [each, effect(each, consumers.includes(each))]));
  const row = el("li", { "data-type": event.type, "data-payload": event.subject },
    el("div", { class: "what" }, el("div", {}, el("span", { class: `family ${tone}` }, family), " ", el("strong", {}, name.replaceAll("_", " "))), meta),
    ...Object.values(effects));
  rows.set(event.id, { row, meta, effects, devices: new Set() });
  list.prepend(row);
  document.getElementById("no-events").hidden = true;
  while (list.childElementCount > KEPT) list.lastElementChild.remove();
}

function say(event, consumer, ...words) {
  const place = rows.get(event)?.effects[consumer];
  if (!place) return;
  place.classList.remove("wait");
  place.querySelector(".did").replaceChildren(...words);
}

function settled({ event_id, consumer, rows: written }) {
  const place = rows.get(event_id)?.effects[consumer];
  if (!place?.classList.contains("wait")) return;
  if (consumer === "push") say(event_id, consumer, "nothing to push");
  else say(event_id, consumer, ...written.map((row) => el("span", { class: "line" }, ROWS[row.table](row))));
  place.classList.toggle("none", consumer === "push");
}

onLive("published", published);
function pushed({ event_id, title, text, device }) {
  const devices = rows.get(event_id)?.devices.add(device) ?? [];
  say(event_id, "push", el("strong", {}, title), ` ${text}`, el("small", {}, ` to ${[...devices].join(", ")}`));
}

onLive("push", pushed);
onLive("settled", settled);
