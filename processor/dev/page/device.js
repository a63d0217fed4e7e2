// What the app is pushed to. A provider such as Firebase would have given the token; this one is made up, and kept.

import { call } from "/sandbox/api.js";

const KEPT = "device";

function token() {
  const known = localStorage.getItem(KEPT) ?? `demo-device-${crypto.randomUUID()}`;
  localStorage.setItem(KEPT, known);
  return known;
}

export const ending = () => `…${token().slice(-6)}`;

// For the user of the session, whoever had the device before. Apps do it at every start: a repetition does no harm.
export const register = (bearer) => call("PUT", `/v1/devices/${token()}`, { bearer, body: { channel: "fcm", locale: "en" } });

export const remove = (bearer) => call("DELETE", `/v1/devices/${token()}`, { bearer });
