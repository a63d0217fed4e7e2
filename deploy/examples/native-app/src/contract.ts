// Made of the service's OpenAPI document, which is served at /v1/openapi.json. Do not edit.

/** A device of the caller's; its token is in the path. */
export interface DeviceRegistration {
  /** The provider that the token is of. */
  readonly channel: "fcm" | "apns" | "webpush";
  /** What the device is; by default what its channel serves: Android, iOS or the web. */
  readonly platform?: "android" | "ios" | "web" | null;
  /** Language of its user. */
  readonly locale?: string | null;
  /** Of a browser, and of nothing else. */
  readonly subscription?: Subscription | null;
}

/** What is wrong with one field. */
export interface FieldError {
  readonly field: string;
  readonly reason: string;
}

export type JsonValue = unknown;

/** What a message to one browser is encrypted with, in base64url; padding is dropped. */
export interface Keys {
  /** The browser's public key: a point on P-256, uncompressed, 65 bytes. */
  readonly p256dh: string;
  /** 16 secret bytes. */
  readonly auth: string;
}

/** Who the caller is, as far as this service is concerned. */
export interface Me {
  readonly app: string;
  readonly account: string;
  readonly proven_by: "session" | "xumm_jwt" | "xapp_jwt";
  /** Until when that counts, where it is known. */
  readonly expires_at: string | null;
}

/** A refusal, as of RFC 9457. */
export interface ProblemDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly reason: string;
  readonly errors?: readonly FieldError[];
}

/** The code to scan with the wallet. */
export interface Qr {
  /** A data URL of a PNG, made here: nobody else is asked. */
  readonly png: string;
  /** The same code for drawing: rows from top to bottom, `1` for a dark module, without the quiet zone. */
  readonly matrix: readonly string[];
  /** Xumm's picture. */
  readonly png_url?: string | null;
  /** Xumm's matrix as JSON. */
  readonly matrix_url?: string | null;
}

/** Swap the code that came to the app's deep link for a session. */
export interface RedeemCommand {
  /** As it came, once. */
  readonly code: string;
  /** What the app made its `code_challenge` of. */
  readonly code_verifier: string;
}

/** Where Xumm sends the user back to: each must be registered for the application, character by character. */
export interface Return {
  /** When the user came from an app on the same device. */
  readonly app?: string | null;
  /** When the user came from a browser. */
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

/** A sign-in, and the secret with which whoever began it gets the session. */
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
  /** As bearer token for the sign-in's status, events and session. Works once for the session; shown once. */
  readonly exchange_secret: string;
  /** Path on this host: POST there once it is signed. */
  readonly session_url: string;
}

/** It can no longer be opened. */
export interface SignRequestCancelled {
  readonly id: string;
  readonly reason: "OK" | "ALREADY_CANCELLED";
}

/** Ask a user to sign a transaction. */
export interface SignRequestCommand {
  readonly app: string;
  /** The transaction's template. */
  readonly txjson: Readonly<Record<string, JsonValue>>;
  /** Whether the wallet submits it. Required: it decides what the outcome means. */
  readonly submit: boolean;
  /** Minutes within which it can be opened. */
  readonly expire?: number;
  /** The network it must be signed on; the application's own unless named, and no other than that is taken. */
  readonly force_network?: string | null;
  /** Shown to the user. */
  readonly instruction?: string | null;
  /** The application's own name for it, unique within the application. */
  readonly identifier?: string | null;
  /** Carried along, into webhooks and events. */
  readonly blob?: Readonly<Record<string, JsonValue>> | null;
  /** Whom to push it to. A user's requests are their own. */
  readonly account?: string | null;
  readonly return_url?: Return | null;
}

/** The payload stands at Xumm, and is followed to its end. */
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

/** How far it is. */
export interface SignRequestStatus {
  readonly id: string;
  readonly app: string;
  readonly identifier: string;
  readonly tx_type: string;
  readonly submit: boolean;
  readonly created_at: string;
  readonly expires_at: string;
  /** What Xumm reported. Deliver nothing on it. */
  readonly reported: readonly ("created" | "opened" | "pre_signed" | "dispatched" | "signed" | "rejected" | "expired" | "cancelled" | "token_issued")[];
  /** How it ended, once proven. */
  readonly outcome: "signed" | "validated" | "failed" | "rejected" | "cancelled" | "expired" | null;
  /** Who signed, once proven. */
  readonly account?: string | null;
  /** The transaction, once proven. */
  readonly txid?: string | null;
}

/** As a browser's `PushSubscription` gives it; what else it says is ignored. */
export interface Subscription {
  readonly endpoint: string;
  readonly keys: Keys;
}

/** Follow a payload to its end, even if no webhook ever comes. Asking again is harmless. */
export interface WatchCommand {
  /** The application's name. */
  readonly app: string;
  /** What Xumm answered when the sign request was created. */
  readonly payload: string;
}

/** The payload is followed. */
export interface Watched {
  /** `known`: it was already, or it has ended. */
  readonly result: "accepted" | "known";
}

/** The types of events that there are now. More come over time. */
export type EventType = "xumm.resolve.cancelled" | "xumm.resolve.expired" | "xumm.resolve.failed" | "xumm.resolve.rejected" | "xumm.resolve.signed" | "xumm.resolve.validated" | "xumm.sign.cancelled" | "xumm.sign.created" | "xumm.sign.dispatched" | "xumm.sign.expired" | "xumm.sign.opened" | "xumm.sign.pre_signed" | "xumm.sign.rejected" | "xumm.sign.signed" | "xumm.sign.token_issued";
