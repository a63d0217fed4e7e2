// The few calls of the service that an app makes. Plain fetch: it runs wherever JavaScript does.

import type {
  Me,
  ProblemDetails,
  SessionCreated,
  SignInCreated,
  SignRequestCancelled,
  SignRequestCommand,
  SignRequestCreated,
  SignRequestPage,
  SignRequestStatus,
} from "./contract";
import { follow, type Follower, type Listener } from "./events";

/** A refusal of the service. `reason` is made for programs, and stands in processor/api/README.md. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(
    readonly status: number,
    readonly reason: string,
    readonly errors: readonly { readonly field: string; readonly reason: string }[],
    /** After how many seconds it is worth trying again, where the service says so. */
    readonly retryAfter: number | null,
  ) {
    super(`${status} ${reason}${errors.map((error) => `; ${error.field}: ${error.reason}`).join("")}`);
  }
}

/** The service did not answer in time, or not at all. Whether it did what was asked is not known. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

/** What the app keeps of a user who is signed in. */
export interface Session {
  readonly token: string;
  readonly account: string;
  /** Unix milliseconds. */
  readonly expiresAt: number;
}

/** What an app wants signed; the client adds which application asks. */
export type Wanted = Omit<SignRequestCommand, "app">;

/** Whatever can be followed: a sign request with the session, or a sign-in with its exchange secret. */
export interface Followed {
  readonly status_url: string;
  readonly events_url: string;
}

const TIMEOUT = 30_000;

export class Client {
  /** `base`: where the service is, such as `https://sign.example.com`; `app`: the application's name there. */
  constructor(
    readonly base: string,
    readonly app: string,
  ) {}

  /** Begin a sign-in. Its `exchange_secret` is the bearer of everything about it, and opens one session. */
  signIn(returnUrl: string | null = null): Promise<SignInCreated> {
    const body = returnUrl === null ? { app: this.app } : { app: this.app, return_url: { app: returnUrl } };
    return this.#call("POST", "/v1/sign-in", { body });
  }

  /** The session of a sign-in that is signed and proven; `Refused` with `not_signed` until then. It comes once. */
  async session(signIn: Pick<SignInCreated, "session_url" | "exchange_secret">): Promise<Session> {
    const path = signIn.session_url;
    const made = await this.#call<SessionCreated>("POST", path, { bearer: signIn.exchange_secret });
    return { token: made.token, account: made.account, expiresAt: Date.now() + made.expires_in * 1000 };
  }

  /** Where the system's browser begins a sign-in by OAuth2; `challenge` is made of a verifier that stays here. */
  oauth2Url(link: string, challenge: string): string {
    const query = { app: this.app, return: link, code_challenge: challenge, code_challenge_method: "S256" };
    const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    return `${this.base}/v1/oauth2/start?${pairs.join("&")}`;
  }

  /** Swap the code that came back from the browser, and the verifier, for a session. The code lives for 60 s. */
  async redeem(code: string, verifier: string): Promise<Session> {
    const body = { code, code_verifier: verifier };
    const made = await this.#call<Redeemed>("POST", "/v1/oauth2/token", { body });
    return { token: made.access_token, account: made.account, expiresAt: Date.now() + made.expires_in * 1000 };
  }

  /**
   * Ask the user to sign. Keep `idempotencyKey` until there is an answer: after `Unreachable` the same key gets the
   * same sign request, and never a second one.
   */
  signRequest(session: Session, wanted: Wanted, idempotencyKey: string): Promise<SignRequestCreated> {
    const headers = { "Idempotency-Key": idempotencyKey };
    return this.#call("POST", "/v1/sign-requests", {
      bearer: session.token,
      body: { app: this.app, ...wanted },
      headers,
    });
  }

  /** How far it is. */
  get(followed: Followed, bearer: string): Promise<SignRequestStatus> {
    return this.#call("GET", followed.status_url, { bearer });
  }

  /** Withdraw a sign request that nobody opened; `Refused` with `already_opened` and the like if it is too late. */
  cancel(session: Session, id: string): Promise<SignRequestCancelled> {
    return this.#call("DELETE", `/v1/sign-requests/${encodeURIComponent(id)}`, { bearer: session.token });
  }

  /** The user's own sign requests, the newest first; `before` is `next` of the page before. */
  list(session: Session, before: string | null = null): Promise<SignRequestPage> {
    const query = before === null ? "" : `?before=${encodeURIComponent(before)}`;
    return this.#call("GET", `/v1/sign-requests${query}`, { bearer: session.token });
  }

  /** Who the service takes the user for. */
  me(session: Session): Promise<Me> {
    return this.#call("GET", "/v1/me", { bearer: session.token });
  }

  /** What is known of the payload that the user comes back from. A state works once, and nothing else is needed. */
  returned(state: string): Promise<SignRequestStatus> {
    return this.#call("GET", `/v1/return?state=${encodeURIComponent(state)}`);
  }

  /** Be told what happens to it, as it happens, until its outcome. */
  follow(followed: Followed, bearer: string, listener: Listener): Follower {
    return follow({ url: this.base + followed.events_url, bearer, listener });
  }

  async #call<Answer>(method: string, path: string, how: Call = {}): Promise<Answer> {
    const headers: Record<string, string> = { Accept: "application/json", ...how.headers };
    if (how.bearer !== undefined) headers["Authorization"] = `Bearer ${how.bearer}`;
    if (how.body !== undefined) headers["Content-Type"] = "application/json";
    const body = how.body === undefined ? null : JSON.stringify(how.body);
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), TIMEOUT);
    try {
      const response = await fetch(this.base + path, { method, headers, body, signal: abort.signal });
      const text = await response.text();
      if (response.ok) return JSON.parse(text) as Answer;
      throw refusal(response, text);
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new Unreachable(`${method} ${path.split("?")[0]}: no answer`);
    } finally {
      clearTimeout(timer);
    }
  }
}

interface Call {
  readonly bearer?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Redeemed {
  readonly access_token: string;
  readonly expires_in: number;
  readonly account: string;
}

/** A proxy may answer in the service's place, with anything. */
function refusal(response: Response, text: string): Refused {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfter = Number.isNaN(seconds) ? null : seconds;
  try {
    const problem = JSON.parse(text) as Partial<ProblemDetails>;
    return new Refused(response.status, problem.reason ?? "unknown", problem.errors ?? [], retryAfter);
  } catch {
    return new Refused(response.status, "unknown", [], retryAfter);
  }
}
