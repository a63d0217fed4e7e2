// What differs between builds. Expo compiles these variables in: there is no room for a secret here.

declare const process: { readonly env: Readonly<Record<string, string | undefined>> };

export const SERVICE_URL = process.env.EXPO_PUBLIC_SERVICE_URL || "http://127.0.0.1:8000";
export const APP = process.env.EXPO_PUBLIC_APP || "demo";
export const RETURN_URL = process.env.EXPO_PUBLIC_RETURN_URL || null;
export const SIGN_IN_LINK = process.env.EXPO_PUBLIC_SIGN_IN_LINK || null;
export const DESTINATION = process.env.EXPO_PUBLIC_DESTINATION || "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe";
