// The service's own HTTP interface, as a native app calls it.

export class Refusal extends Error {}

export async function call(method, path, { bearer, body, headers = {} } = {}) {
  const response = await fetch(path, {
    method,
    headers: {
      ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}),
      ...(body ? { "Content-Type": "application/json" } : {}),
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
  if (response.status === 204) return null;
  const said = await response.json();
  if (!response.ok) throw new Refusal(said.why ?? `${said.title ?? "Refused"} (${said.reason})`);
  return said;
}

// Server-sent events with a bearer token, which EventSource cannot send. Ends after the outcome, or with `signal`.
export async function* eventsOf(path, bearer, signal) {
  let last = "0";
  while (!signal.aborted) {
    try {
      const headers = { Authorization: `Bearer ${bearer}`, "Last-Event-ID": last };
      const response = await fetch(path, { headers, signal });
      for await (const message of messagesIn(response.body)) {
        last = message.id ?? last;
        if (!message.data) continue;
        const event = JSON.parse(message.data);
        yield event;
        if (event.type.startsWith("xumm.resolve.")) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TypeError)) throw error; // a lost connection is one
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

async function* messagesIn(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (held + value).split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      yield Object.fromEntries(block.split("\n").map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 2)]));
    }
  }
}
