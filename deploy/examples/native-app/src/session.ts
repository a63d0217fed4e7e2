// What outlives the app: the session, and a sign-in that the user is in the wallet for. In the keychain or keystore.

import * as SecureStore from "expo-secure-store";

import type { Session } from "./client";
import type { SignInCreated } from "./contract";

const SESSION = "session";
const PENDING = "pending-sign-in";

/** What is needed to go on with a sign-in after the system has ended the app. The pictures are left out. */
export type PendingSignIn = Pick<
  SignInCreated,
  "id" | "status_url" | "events_url" | "session_url" | "exchange_secret" | "link" | "expires_at"
>;

export async function loadSession(): Promise<Session | null> {
  const session = await load<Session>(SESSION);
  if (session !== null && session.expiresAt <= Date.now()) {
    await forgetSession();
    return null;
  }
  return session;
}

export const keepSession = (session: Session): Promise<void> => keep(SESSION, session);
export const forgetSession = (): Promise<void> => SecureStore.deleteItemAsync(SESSION);

export const loadPending = (): Promise<PendingSignIn | null> => load<PendingSignIn>(PENDING);
export const forgetPending = (): Promise<void> => SecureStore.deleteItemAsync(PENDING);

export function keepPending(made: SignInCreated): Promise<void> {
  const { id, status_url, events_url, session_url, exchange_secret, link, expires_at } = made;
  return keep(PENDING, { id, status_url, events_url, session_url, exchange_secret, link, expires_at });
}

function keep(name: string, value: Session | PendingSignIn): Promise<void> {
  const options = { keychainAccessible: SecureStore.WHEN_UNLOCKED_THIS_DEVICE_ONLY };
  return SecureStore.setItemAsync(name, JSON.stringify(value), options);
}

async function load<Value>(name: string): Promise<Value | null> {
  try {
    const text = await SecureStore.getItemAsync(name);
    return text === null ? null : (JSON.parse(text) as Value);
  } catch {
    return null; // the keystore of a restored device does not open: sign in again
  }
}
