// Links out of the app and back. What comes back is a hint and never a proof: any app can open one. None comes after a
// rejection.

import type { Client } from "./client";
import type { SignRequestStatus } from "./contract";

/** Opens an address in whatever claims it. In the app that is React Native's `Linking`. */
export interface Opener {
  openURL(url: string): Promise<unknown>;
}

/** Let the wallet take over. False if nothing opens it: show the code to scan instead. */
export async function openWallet(link: string, opener: Opener): Promise<boolean> {
  try {
    await opener.openURL(link);
    return true;
  } catch {
    return false;
  }
}

/** The parameters of `url` if it is `link`, character by character up to them; null if it is something else. */
export function parametersOf(url: string, link: string): ReadonlyMap<string, string> | null {
  const withoutFragment = url.split("#", 1)[0] ?? "";
  const separator = link.includes("?") ? "&" : "?";
  if (withoutFragment === link) return new Map();
  if (!withoutFragment.startsWith(link + separator)) return null;
  const found = new Map<string, string>();
  for (const pair of withoutFragment.slice(link.length + 1).split("&")) {
    const [name = "", value = ""] = pair.split("=", 2);
    if (name !== "" && !found.has(name)) found.set(name, decoded(value));
  }
  return found;
}

/**
 * What the service knows of the payload that the user comes back from, by the one-time state in the link. Null if the
 * link is not ours, or says nothing new: ids, transactions and whatever else it claims are not even read.
 */
export async function returned(client: Client, url: string, link: string): Promise<SignRequestStatus | null> {
  const state = parametersOf(url, link)?.get("state");
  if (state === undefined || state === "") return null;
  try {
    return await client.returned(state);
  } catch {
    return null; // used before, or no connection: the live status tells as well
  }
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return "";
  }
}
