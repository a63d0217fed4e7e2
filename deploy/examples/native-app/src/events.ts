// Server-sent events by XMLHttpRequest: React Native's fetch hands a body over only when it is whole, while
// `responseText` grows as it comes. A stream that breaks is opened again, and goes on after the last event that came.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import type { EventType } from "./contract";

/** One event of a payload, as the service publishes it: a CloudEvent. */
export interface PayloadEvent {
  readonly id: string;
  /** Ignore what you do not know: types are added over time. */
  readonly type: EventType | (string & {});
  readonly subject: string;
  readonly time: string;
  readonly sequence: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Listener {
  /** Each event once, in order. */
  onEvent(event: PayloadEvent): void;
  /** The outcome came: nothing follows. */
  onEnd(): void;
  /** The service will not tell: 401, 403 or 404. Nothing follows. */
  onRefused(status: number): void;
  /** Whether it is connected. Without a connection nothing is lost, only late. */
  onConnection?(connected: boolean): void;
}

export interface Follower {
  /** Close the connection for a while: the app is in the background, where the system would cut it anyway. */
  suspend(): void;
  /** Connect again, and get what happened meanwhile. */
  resume(): void;
  /** Follow no more. */
  stop(): void;
}

export interface Source {
  readonly url: string;
  readonly bearer: string;
  readonly listener: Listener;
}

/** The service says something every 15 s: after three times that the connection is dead. */
const SILENCE = 45_000;
const LONGEST_WAIT = 60_000;
const LAST = "xumm.resolve.";

export function follow(source: Source): Follower {
  const stream = new Stream(source);
  stream.resume();
  return stream;
}

class Stream implements Follower {
  #request: XMLHttpRequest | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #lastId = "";
  #retry = 2_000;
  #failures = 0;
  #over = false;

  constructor(readonly source: Source) {}

  resume(): void {
    if (this.#over || this.#request !== null) return;
    this.#connect();
  }

  suspend(): void {
    this.#clear();
    const request = this.#request;
    this.#request = null; // whatever it still reports is not heard
    request?.abort();
    if (request !== null) this.source.listener.onConnection?.(false);
  }

  stop(): void {
    this.#over = true;
    this.suspend();
  }

  #connect(): void {
    this.#clear();
    const request = new XMLHttpRequest();
    const parser = new Parser();
    let read = 0;
    const take = () => {
      if (request !== this.#request) return;
      this.#watch();
      if (request.status !== 200) return;
      const text = request.responseText.slice(read);
      read += text.length;
      for (const message of parser.feed(text)) this.#hear(message);
    };
    this.#request = request;
    request.open("GET", this.source.url);
    request.setRequestHeader("Accept", "text/event-stream");
    request.setRequestHeader("Authorization", `Bearer ${this.source.bearer}`);
    if (this.#lastId !== "") request.setRequestHeader("Last-Event-ID", this.#lastId);
    request.onreadystatechange = () => {
      if (request !== this.#request || request.readyState !== 2 || request.status !== 200) return;
      this.source.listener.onConnection?.(true);
    };
    request.onprogress = take; // React Native hands text over as it comes only to who listens for this
    request.onloadend = () => {
      take();
      if (request === this.#request) this.#lost(request);
    };
    this.#watch();
    request.send();
  }

  #hear(message: Message): void {
    if (this.#over) return;
    if (message.retry !== null) this.#retry = message.retry;
    if (message.data === "") return;
    const event = eventIn(message.data);
    this.#failures = 0;
    if (message.id !== null) this.#lastId = message.id;
    if (event === null) return;
    this.source.listener.onEvent(event);
    if (!event.type.startsWith(LAST)) return;
    this.stop();
    this.source.listener.onEnd();
  }

  #lost(request: XMLHttpRequest): void {
    this.suspend();
    if (this.#over) return;
    if ([401, 403, 404].includes(request.status)) {
      this.#over = true;
      this.source.listener.onRefused(request.status);
      return;
    }
    const asked = Number.parseInt(request.getResponseHeader("Retry-After") ?? "", 10) * 1000 || 0;
    const wait = Math.min(this.#retry * 2 ** Math.min(this.#failures, 10), LONGEST_WAIT);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.resume(), Math.max(asked, wait * (0.5 + Math.random() / 2)));
  }

  #watch(): void {
    this.#clear();
    this.#timer = setTimeout(() => {
      const request = this.#request;
      if (request !== null) this.#lost(request);
    }, SILENCE);
  }

  #clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** One block of the stream. */
export interface Message {
  readonly id: string | null;
  readonly data: string;
  /** Milliseconds before the next connection. */
  readonly retry: number | null;
}

/** Makes messages of text that comes in pieces, cut anywhere. */
export class Parser {
  #rest = "";

  feed(text: string): Message[] {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop() ?? "";
    return blocks.map(messageIn);
  }
}

function messageIn(block: string): Message {
  let id: string | null = null;
  let retry: number | null = null;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    if (field === "id") id = value;
    if (field === "retry" && /^[0-9]{1,6}$/.test(value)) retry = Number(value);
  }
  return { id, data: data.join("\n"), retry };
}

function eventIn(data: string): PayloadEvent | null {
  try {
    const event = JSON.parse(data) as Partial<PayloadEvent> | null;
    return typeof event?.type === "string" ? (event as PayloadEvent) : null;
  } catch {
    return null;
  }
}
