// The switches, and what waits in the outbox.

import { call } from "/sandbox/api.js";
import { el } from "/sandbox/dom.js";
import { onLive } from "/sandbox/live.js";

const FAULTS = {
  webhook: ["Lose webhooks", "They are never sent. The socket tells instead."],
  socket: ["Cut the status socket", "Closed and refused. The webhook tells instead."],
  broker: ["Kill the broker connection", "Events wait in the outbox, and go out in order after."],
};
const POLL = 1000;

const switches = new Map();

function made(name, [label, note]) {
  const input = el("input", { type: "checkbox", role: "switch", id: `fault-${name}`, "aria-describedby": `note-${name}` });
  input.addEventListener("change", () => set(name, input));
  switches.set(name, input);
  return el("div", { class: "fault" },
    el("label", { for: input.id }, input, el("span", { class: "track", "aria-hidden": "true" }), el("span", {}, label)),
    el("p", { class: "muted small", id: `note-${name}` }, note));
}

async function set(name, input) {
  try {
    wrong(await call("PUT", "/sandbox/faults", { body: { [name]: input.checked } }));
  } catch {
    input.checked = !input.checked;
  }
}

function wrong(faults) {
  for (const [name, input] of switches) input.checked = faults[name];
}

function tell(place, text, kind) {
  if (place.textContent !== text) place.textContent = text;
  place.dataset.kind = kind;
}

async function poll() {
  if (!document.hidden) {
    try {
      const health = await (await fetch("/readyz")).json();
      const waiting = health.unpublished;
      const text = waiting ? `${waiting} ${waiting === 1 ? "event waits" : "events wait"} in the outbox` : "Outbox empty: everything is published";
      tell(document.getElementById("outbox"), text, waiting ? "wait" : "good");
    } catch {
      tell(document.getElementById("outbox"), "The service does not answer", "bad");
    }
  }
  setTimeout(poll, POLL);
}

document.getElementById("faults").replaceChildren(...Object.entries(FAULTS).map(([name, words]) => made(name, words)));
onLive("faults", wrong);
poll();

export const look = async () => wrong(await call("GET", "/sandbox/faults"));
