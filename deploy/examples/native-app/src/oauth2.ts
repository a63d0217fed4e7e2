// Signing in by OAuth2, with PKCE, through the service: it holds the API secret, the app holds a verifier.

import * as Crypto from "expo-crypto";
import * as WebBrowser from "expo-web-browser";

import type { Client, Session } from "./client";
import { parametersOf } from "./links";

/** A session, or null if the user turned back. `link` is one of the application's `deep_links`. */
export async function signInByBrowser(client: Client, link: string): Promise<Session | null> {
  const verifier = hex(Crypto.getRandomBytes(32));
  const url = client.oauth2Url(link, await challengeOf(verifier));
  const result = await WebBrowser.openAuthSessionAsync(url, link);
  if (result.type !== "success") return null;
  const code = parametersOf(result.url, link)?.get("code");
  return code === undefined ? null : client.redeem(code, verifier);
}

async function challengeOf(verifier: string): Promise<string> {
  const options = { encoding: Crypto.CryptoEncoding.BASE64 };
  const digest = await Crypto.digestStringAsync(Crypto.CryptoDigestAlgorithm.SHA256, verifier, options);
  return digest.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
