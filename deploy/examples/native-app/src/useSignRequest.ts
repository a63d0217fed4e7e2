// One sign request on screen: asked for, opened in the wallet, followed to its outcome, whatever the app goes through.

import { useCallback, useEffect, useRef, useState } from "react";
import { AppState, Linking } from "react-native";

import { type Client, Refused, type Followed } from "./client";
import type { SignRequestStatus } from "./contract";
import type { Follower } from "./events";
import { openWallet, returned } from "./links";

/** What is followed, by whose right. */
export interface Asked extends Followed {
  readonly id: string;
  readonly link: string;
  readonly bearer: string;
  /** Whether the user's phone was notified: then the wallet needs no opening from here. */
  readonly pushed: boolean;
  /** A data URL of the code to scan from another device, where there is one. */
  readonly picture: string | null;
}

export type Progress =
  | { readonly phase: "idle" }
  | { readonly phase: "asking" }
  | {
      readonly phase: "following";
      readonly asked: Asked;
      /** What the user did, as Xumm reports it. Deliver nothing on it. */
      readonly reported: readonly string[];
      readonly connected: boolean;
    }
  | { readonly phase: "ended"; readonly asked: Asked; readonly status: SignRequestStatus }
  | { readonly phase: "failed"; readonly message: string };

export interface SignRequest {
  readonly progress: Progress;
  /** Ask for one, and follow it; one that was followed before is let go. */
  ask(make: () => Promise<Asked>): Promise<void>;
  /** Follow one that was asked for before, without opening the wallet again. */
  follow(asked: Asked): void;
  reset(): void;
}

const SIGN = "xumm.sign.";

/** `returnUrl`: where the wallet sends the user back to, as it is registered with the service. */
export function useSignRequest(client: Client, returnUrl: string | null): SignRequest {
  const [progress, setProgress] = useState<Progress>({ phase: "idle" });
  const follower = useRef<Follower | null>(null);
  const round = useRef(0); // answers that come after the screen has moved on belong to an earlier one

  const reset = useCallback(() => {
    round.current += 1;
    follower.current?.stop();
    follower.current = null;
    setProgress({ phase: "idle" });
  }, []);

  const follow = useCallback(
    (asked: Asked) => {
      reset();
      const mine = round.current;
      const still = (change: (before: Progress) => Progress) => {
        if (mine === round.current) setProgress(change);
      };
      setProgress({ phase: "following", asked, reported: [], connected: false });
      const settle = async () => {
        const status = await outcomeOf(client, asked);
        still(() => ({ phase: "ended", asked, status }));
      };
      follower.current = client.follow(asked, asked.bearer, {
        onEvent: ({ type }) => {
          if (type.startsWith(SIGN)) still((before) => withReported(before, type.slice(SIGN.length)));
        },
        onEnd: () => settle().catch((error: unknown) => still(() => failed(error))),
        onRefused: (status) => still(() => ({ phase: "failed", message: `${status}: sign in once more` })),
        onConnection: (connected) =>
          still((before) => (before.phase === "following" ? { ...before, connected } : before)),
      });
      if (AppState.currentState === "background") follower.current.suspend();
    },
    [client, reset],
  );

  const ask = useCallback(
    async (make: () => Promise<Asked>) => {
      reset();
      const mine = round.current;
      setProgress({ phase: "asking" });
      try {
        const asked = await make();
        if (mine !== round.current) return;
        follow(asked);
        if (!asked.pushed) await openWallet(asked.link, Linking);
      } catch (error) {
        if (mine === round.current) setProgress(failed(error));
      }
    },
    [follow, reset],
  );

  useEffect(() => {
    const subscription = AppState.addEventListener("change", (state) => {
      if (state === "background") follower.current?.suspend();
      if (state === "active") follower.current?.resume();
    });
    return () => subscription.remove();
  }, []);

  useEffect(() => {
    if (returnUrl === null) return;
    const come = async (url: string | null) => {
      const mine = round.current;
      const status = url === null ? null : await returned(client, url, returnUrl);
      follower.current?.resume();
      if (status === null || status.outcome === null || mine !== round.current) return;
      setProgress((before) =>
        before.phase === "following" && before.asked.id === status.id
          ? { phase: "ended", asked: before.asked, status }
          : before,
      );
    };
    const subscription = Linking.addEventListener("url", ({ url }) => void come(url));
    void Linking.getInitialURL().then(come, () => undefined);
    return () => subscription.remove();
  }, [client, returnUrl]);

  useEffect(() => () => follower.current?.stop(), []);

  return { progress, ask, follow, reset };
}

/** The events say that it ended; this says how, and who signed. */
async function outcomeOf(client: Client, asked: Asked): Promise<SignRequestStatus> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await client.get(asked, asked.bearer);
    } catch (error) {
      const final = error instanceof Refused && error.status !== 429 && error.status < 500;
      if (final || attempt === 5) throw error;
      await new Promise<void>((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
    }
  }
}

function withReported(before: Progress, name: string): Progress {
  if (before.phase !== "following" || before.reported.includes(name)) return before;
  return { ...before, reported: [...before.reported, name] };
}

const failed = (error: unknown): Progress => ({
  phase: "failed",
  message: error instanceof Error ? error.message : "unknown",
});
