// One stream of all that happens. After a break it is told again from the latest; what came before is left out.

const stream = new EventSource("/sandbox/events");
let run = null;
let last = 0;

export function onLive(kind, heard) {
  stream.addEventListener(kind, (event) => {
    const number = Number(event.lastEventId);
    if (number < last || (number === last && kind !== "hello")) return;
    heard(JSON.parse(event.data));
  });
}

// Called after all listeners stand: numbers count once every one of them has heard.
export function begin(kinds, onHello) {
  stream.addEventListener("hello", (event) => {
    const told = JSON.parse(event.data).run;
    if (run !== null && run !== told) return location.reload();
    run = told;
    return onHello(true);
  });
  stream.addEventListener("error", () => onHello(false));
  for (const kind of kinds) {
    stream.addEventListener(kind, (event) => (last = Math.max(last, Number(event.lastEventId))));
  }
}
