// Made of the service's OpenAPI document, which is served at /v1/openapi.json. Do not edit.

/** A device of the caller's; its token is in the path. */
export interface DeviceRegistration {
  /** The provider of the token. */
  readonly channel: "fcm" | "apns" | "webpush";
  /** The platform of the device; by default the one that the channel serves: Android, iOS or the web. */
  readonly platform?: "android" | "ios" | "web" | null;
  /** The language of the user. */
  readonly locale?: string | null;
  /** The push subscription of a browser; only for channel `webpush`. */
  readonly subscription?: Subscription | null;
}

/** A fault in one field. */
export interface FieldError {
  readonly field: string;
  readonly reason: string;
}

export type JsonValue = unknown;

/** The keys that encrypt a message to one browser, in base64url; padding is dropped. */
export interface Keys {
  /** The browser's public key: a point on P-256, uncompressed, 65 bytes. */
  readonly p256dh: string;
  /** 16 secret bytes. */
  readonly auth: string;
}

/** The caller, as this service knows them. */
export interface Me {
  readonly app: string;
  readonly account: string;
  readonly proven_by: "session" | "xumm_jwt" | "xapp_jwt";
  /** Until when the proof counts, where it is known. */
  readonly expires_at: string | null;
}

/** A refusal, as in RFC 9457. */
export interface ProblemDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly reason: string;
  readonly errors?: readonly FieldError[];
}

/** The code to scan with the wallet. */
export interface Qr {
  /** A data URL of a PNG that this service made. */
  readonly png: string;
  /** The same code for drawing: rows from top to bottom, `1` for a dark module, without the quiet zone. */
  readonly matrix: readonly string[];
  /** The URL of Xumm's PNG. */
  readonly png_url?: string | null;
  /** The URL of Xumm's matrix as JSON. */
  readonly matrix_url?: string | null;
}

/** Exchange the code that came to the app's deep link for a session. */
export interface RedeemCommand {
  /** The code as it came. Valid once. */
  readonly code: string;
  /** The verifier of the app's `code_challenge`. */
  readonly code_verifier: string;
}

/** The URLs that Xumm sends the user back to. Each must equal one that is registered for the application. */
export interface Return {
  /** For a user who came from an app on the same device. */
  readonly app?: string | null;
  /** For a user who came from a browser. */
  readonly web?: string | null;
}

/** The user proved to hold the account. */
export interface SessionCreated {
  /** Bearer token; shown once. */
  readonly token: string;
  readonly token_type?: "Bearer";
  /** Seconds. */
  readonly expires_in: number;
  readonly app: string;
  readonly account: string;
}

/** The user signed in through Xumm's OAuth2 provider. */
export interface SessionRedeemed {
  /** Bearer token; shown once. */
  readonly access_token: string;
  readonly token_type?: "Bearer";
  /** Seconds. */
  readonly expires_in: number;
  readonly app: string;
  readonly account: string;
}

/** Begin a sign-in. */
export interface SignInCommand {
  readonly app: string;
  readonly return_url?: Return | null;
}

/** A sign-in, with the secret that its creator exchanges for the session. */
export interface SignInCreated {
  /** The payload's UUID. */
  readonly id: string;
  readonly identifier: string;
  /** Path on this host. */
  readonly status_url: string;
  /** Path on this host of the server-sent events. */
  readonly events_url: string;
  /** The universal link that opens the wallet. */
  readonly link: string;
  readonly qr: Qr;
  /** `push`: a notification is on its way to the user's device; `link`: show the link or the code. */
  readonly delivery: "push" | "link";
  /** Whether this service keeps user tokens at all, so that a later request can be pushed. */
  readonly tokens_kept: boolean;
  readonly expires_at: string;
  /** The bearer token for status, events and session of the sign-in. Valid once for the session; shown once. */
  readonly exchange_secret: string;
  /** Path on this host: POST to it once the payload is signed. */
  readonly session_url: string;
}

/** The payload can no longer be opened. */
export interface SignRequestCancelled {
  readonly id: string;
  readonly reason: "OK" | "ALREADY_CANCELLED";
}

/** Ask a user to sign a transaction. */
export interface SignRequestCommand {
  readonly app: string;
  /** The transaction's template. */
  readonly txjson: Readonly<Record<string, JsonValue>>;
  /** Whether the wallet submits the transaction. Required, since it decides what the outcome means. */
  readonly submit: boolean;
  /** Minutes within which the payload can be opened. */
  readonly expire?: number;
  /** The network to sign on. If given, it must be the application's own. */
  readonly force_network?: string | null;
  /** Text that is shown to the user. */
  readonly instruction?: string | null;
  /** The application's own name for the payload, unique within the application. */
  readonly identifier?: string | null;
  /** Data that is copied into webhooks and events. */
  readonly blob?: Readonly<Record<string, JsonValue>> | null;
  /** The account to push the payload to. A user's requests are pushed to the user. */
  readonly account?: string | null;
  readonly return_url?: Return | null;
}

/** The payload was created at Xumm, and is followed to its end. */
export interface SignRequestCreated {
  /** The payload's UUID. */
  readonly id: string;
  readonly identifier: string;
  /** Path on this host. */
  readonly status_url: string;
  /** Path on this host of the server-sent events. */
  readonly events_url: string;
  /** The universal link that opens the wallet. */
  readonly link: string;
  readonly qr: Qr;
  /** `push`: a notification is on its way to the user's device; `link`: show the link or the code. */
  readonly delivery: "push" | "link";
  /** Whether this service keeps user tokens at all, so that a later request can be pushed. */
  readonly tokens_kept: boolean;
  readonly expires_at: string;
}

/** Sign requests, the newest first. */
export interface SignRequestPage {
  readonly items: readonly SignRequestStatus[];
  /** The cursor of the next page; null on the last. */
  readonly next?: string | null;
}

/** The progress of a sign request. */
export interface SignRequestStatus {
  readonly id: string;
  readonly app: string;
  readonly identifier: string;
  readonly tx_type: string;
  readonly submit: boolean;
  readonly created_at: string;
  readonly expires_at: string;
  /** The reports of Xumm so far, which are not proven: deliver nothing on them. */
  readonly reported: readonly ("created" | "opened" | "pre_signed" | "dispatched" | "signed" | "rejected" | "expired" | "cancelled" | "token_issued")[];
  /** The outcome, once proven. */
  readonly outcome: "signed" | "validated" | "failed" | "rejected" | "cancelled" | "expired" | null;
  /** The signer, once proven. */
  readonly account?: string | null;
  /** The transaction, once proven. */
  readonly txid?: string | null;
}

/** The `PushSubscription` of a browser; other members are ignored. */
export interface Subscription {
  readonly endpoint: string;
  readonly keys: Keys;
}

/** Follow a payload to its end, even if no webhook ever comes. Asking again is harmless. */
export interface WatchCommand {
  /** The application's name. */
  readonly app: string;
  /** The payload's uuid, as Xumm answered when the sign request was created. */
  readonly payload: string;
}

/** The payload is followed. */
export interface Watched {
  /** `known`: it was followed already, or has ended. */
  readonly result: "accepted" | "known";
}

/** The types of events that there are now. More come over time. */
export type EventType = "xumm.resolve.cancelled" | "xumm.resolve.expired" | "xumm.resolve.failed" | "xumm.resolve.rejected" | "xumm.resolve.signed" | "xumm.resolve.validated" | "xumm.sign.cancelled" | "xumm.sign.created" | "xumm.sign.dispatched" | "xumm.sign.expired" | "xumm.sign.opened" | "xumm.sign.pre_signed" | "xumm.sign.rejected" | "xumm.sign.signed" | "xumm.sign.token_issued";
