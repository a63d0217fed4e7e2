import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ActivityIndicator, Image, Linking, Pressable, SafeAreaView, ScrollView, StyleSheet, Text, View } from "react-native";
import * as Crypto from "expo-crypto";

import { Client, Refused, type Session } from "./src/client";
import { APP, DESTINATION, RETURN_URL, SERVICE_URL, SIGN_IN_LINK } from "./src/config";
import type { SignInCreated } from "./src/contract";
import { openWallet } from "./src/links";
import { signInByBrowser } from "./src/oauth2";
import {
  forgetPending,
  forgetSession,
  keepPending,
  keepSession,
  loadPending,
  loadSession,
  type PendingSignIn,
} from "./src/session";
import { type Asked, type Progress, useSignRequest } from "./src/useSignRequest";

export default function App() {
  const client = useMemo(() => new Client(SERVICE_URL, APP), []);
  const [session, setSession] = useState<Session | null>(null);
  const [loaded, setLoaded] = useState(false);

  useEffect(() => {
    void loadSession().then((found) => {
      setSession(found);
      setLoaded(true);
    });
  }, []);

  const signedIn = useCallback(async (made: Session) => {
    await keepSession(made);
    await forgetPending();
    setSession(made);
  }, []);

  const signOut = useCallback(() => {
    void forgetSession();
    setSession(null);
  }, []);

  return (
    <SafeAreaView style={styles.screen}>
      <ScrollView contentContainerStyle={styles.content}>
        {!loaded && <ActivityIndicator />}
        {loaded && session === null && <SignIn client={client} onSession={signedIn} />}
        {loaded && session !== null && <Pay client={client} session={session} onSignOut={signOut} />}
      </ScrollView>
    </SafeAreaView>
  );
}

function SignIn({ client, onSession }: { client: Client; onSession: (session: Session) => Promise<void> }) {
  const { progress, ask, follow, reset } = useSignRequest(client, RETURN_URL);
  const [problem, setProblem] = useState<string | null>(null);
  const pending = useRef<PendingSignIn | null>(null);

  useEffect(() => {
    // The system may have ended the app while the user was in the wallet: go on where that was.
    void loadPending().then((found) => {
      if (found === null || pending.current !== null) return;
      if (Date.parse(found.expires_at) + DAY < Date.now()) return void forgetPending();
      pending.current = found;
      follow({ ...found, bearer: found.exchange_secret, pushed: false, picture: null });
    });
  }, [follow]);

  useEffect(() => {
    const made = pending.current;
    if (progress.phase !== "ended" || made === null || made.id !== progress.asked.id) return;
    pending.current = null;
    if (progress.status.outcome !== "signed") return void forgetPending();
    client.session(made).then(onSession).catch((error: unknown) => setProblem(messageOf(error)));
  }, [client, onSession, progress]);

  const begin = () =>
    ask(async () => {
      setProblem(null);
      const made = await client.signIn(RETURN_URL);
      pending.current = made;
      await keepPending(made);
      return askedOf(made, made.exchange_secret);
    });

  const browse = (link: string) =>
    signInByBrowser(client, link).then(
      (made) => made && onSession(made),
      (error: unknown) => setProblem(messageOf(error)),
    );

  const giveUp = () => {
    pending.current = null;
    void forgetPending();
    reset();
  };

  return (
    <View style={styles.card}>
      <Text style={styles.title}>Sign in</Text>
      <Button title="With your wallet" onPress={() => void begin()} disabled={progress.phase === "asking"} />
      {SIGN_IN_LINK !== null && <Button title="In the browser" onPress={() => void browse(SIGN_IN_LINK ?? "")} />}
      <Status progress={progress} />
      {progress.phase === "following" && <Button title="Start over" onPress={giveUp} />}
      {problem !== null && <Text style={styles.problem}>{problem}</Text>}
    </View>
  );
}

function Pay({ client, session, onSignOut }: { client: Client; session: Session; onSignOut: () => void }) {
  const { progress, ask, reset } = useSignRequest(client, RETURN_URL);
  const [problem, setProblem] = useState<string | null>(null);
  const key = useRef<string | null>(null);

  useEffect(() => {
    client.me(session).catch((error: unknown) => {
      if (error instanceof Refused && error.status === 401) onSignOut();
    });
  }, [client, onSignOut, session]);

  const pay = () =>
    ask(async () => {
      setProblem(null);
      key.current ??= Crypto.randomUUID(); // kept until there is an answer: pressed twice, it is still one payment
      const made = await client.signRequest(session, { ...PAYMENT, ...returning() }, key.current);
      key.current = null;
      return { ...askedOf(made, session.token), pushed: made.delivery === "push" };
    });

  const withdraw = (id: string) =>
    client.cancel(session, id).then(reset, (error: unknown) => setProblem(messageOf(error)));

  return (
    <View style={styles.card}>
      <Text style={styles.title}>Pay 1 XRP</Text>
      <Text>Signed in as {session.account}</Text>
      <Button title="Pay" onPress={() => void pay()} disabled={progress.phase === "asking"} />
      <Status progress={progress} />
      {progress.phase === "following" && progress.reported.every((name) => name === "created") && (
        <Button title="Withdraw" onPress={() => void withdraw(progress.asked.id)} />
      )}
      {problem !== null && <Text style={styles.problem}>{problem}</Text>}
      <Button title="Sign out" onPress={onSignOut} />
    </View>
  );
}

function Status({ progress }: { progress: Progress }) {
  switch (progress.phase) {
    case "idle":
      return null;
    case "asking":
      return <ActivityIndicator />;
    case "failed":
      return <Text style={styles.problem}>{progress.message}</Text>;
    case "ended":
      return <Text style={styles.outcome}>{OUTCOMES[progress.status.outcome ?? ""] ?? progress.status.outcome}</Text>;
    case "following":
      return (
        <View style={styles.status}>
          <Text>{progress.asked.pushed ? "We sent a request to your wallet." : "Go on in your wallet."}</Text>
          <Text>{REPORTED[progress.reported.at(-1) ?? ""] ?? "Waiting for you."}</Text>
          {!progress.connected && <Text style={styles.quiet}>Connecting ...</Text>}
          <Button title="Open the wallet" onPress={() => void openWallet(progress.asked.link, Linking)} />
          {progress.asked.picture !== null && <Image source={{ uri: progress.asked.picture }} style={styles.code} />}
        </View>
      );
  }
}

function Button({ title, onPress, disabled = false }: { title: string; onPress: () => void; disabled?: boolean }) {
  return (
    <Pressable accessibilityRole="button" disabled={disabled} onPress={onPress} style={styles.button}>
      <Text style={styles.label}>{title}</Text>
    </Pressable>
  );
}

const askedOf = (made: Omit<SignInCreated, "exchange_secret" | "session_url">, bearer: string): Asked => ({
  id: made.id,
  link: made.link,
  status_url: made.status_url,
  events_url: made.events_url,
  bearer,
  pushed: false,
  picture: made.qr.png,
});

const returning = () => (RETURN_URL === null ? {} : { return_url: { app: RETURN_URL } });
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : "unknown");

const DAY = 24 * 60 * 60 * 1000;
const PAYMENT = {
  txjson: { TransactionType: "Payment", Destination: DESTINATION, Amount: "1000000" },
  submit: true,
  instruction: "1 XRP for the example",
} as const;
const REPORTED: Readonly<Record<string, string>> = {
  opened: "You have it on screen.",
  pre_signed: "You are signing.",
  dispatched: "It is on its way to the ledger.",
  signed: "Signed. We are checking it.",
  rejected: "Declined. We are checking it.",
  expired: "It can no longer be opened.",
};
const OUTCOMES: Readonly<Record<string, string>> = {
  signed: "Signed, and proven.",
  validated: "Paid. It is final on the ledger.",
  failed: "The ledger did not do it: nothing was paid.",
  rejected: "You declined.",
  cancelled: "It was withdrawn.",
  expired: "It expired.",
};

const styles = StyleSheet.create({
  screen: { flex: 1, backgroundColor: "#f4f5f7" },
  content: { padding: 24 },
  card: { gap: 16, padding: 24, borderRadius: 16, backgroundColor: "#ffffff" },
  title: { fontSize: 24, fontWeight: "600" },
  status: { gap: 12 },
  outcome: { fontSize: 18, fontWeight: "600" },
  quiet: { color: "#6b7280" },
  problem: { color: "#b91c1c" },
  button: { padding: 14, borderRadius: 10, backgroundColor: "#1d4ed8" },
  label: { color: "#ffffff", textAlign: "center", fontWeight: "600" },
  code: { width: 220, height: 220, alignSelf: "center" },
});
