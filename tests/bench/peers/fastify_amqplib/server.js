// A webhook service on Fastify and amqplib, as a competent user would write it: no dedupe, no outbox.

import { createHmac, timingSafeEqual } from "node:crypto";
import amqplib from "amqplib";
import Fastify from "fastify";

const TOLERANCE_SECONDS = 300;
const { AMQP_URL, AMQP_EXCHANGE, AMQP_QUEUE, PORT, XUMM_API_SECRET } = process.env;
const key = XUMM_API_SECRET.replace("-", "");

const schema = {
  type: "object",
  required: ["meta", "payloadResponse"],
  properties: {
    meta: {
      type: "object",
      required: ["url", "application_uuidv4", "payload_uuidv4"],
      properties: {
        url: { type: "string" },
        application_uuidv4: { type: "string" },
        payload_uuidv4: { type: "string" },
        opened_by_deeplink: { type: ["boolean", "null"] },
      },
    },
    custom_meta: {
      type: ["object", "null"],
      properties: {
        identifier: { type: ["string", "null"] },
        blob: {},
        instruction: { type: ["string", "null"] },
      },
    },
    payloadResponse: {
      type: "object",
      required: ["payload_uuidv4", "signed"],
      properties: {
        payload_uuidv4: { type: "string" },
        reference_call_uuidv4: { type: ["string", "null"] },
        signed: { type: "boolean" },
        txid: { type: ["string", "null"] },
      },
    },
    userToken: {
      type: ["object", "null"],
      properties: {
        user_token: { type: ["string", "null"] },
        token_issued: { type: ["integer", "null"] },
        token_expiration: { type: ["integer", "null"] },
      },
    },
  },
};

const connection = await amqplib.connect(AMQP_URL, { noDelay: true });
const channel = await connection.createConfirmChannel();
await channel.assertExchange(AMQP_EXCHANGE, "topic", { durable: true });
await channel.assertQueue(AMQP_QUEUE, { durable: true });
await channel.bindQueue(AMQP_QUEUE, AMQP_EXCHANGE, "*.sign.signed");

function publish(routingKey, body, messageId) {
  return new Promise((resolve, reject) => {
    const options = { persistent: true, mandatory: true, contentType: "application/json", messageId };
    channel.publish(AMQP_EXCHANGE, routingKey, body, options, (error) => (error ? reject(error) : resolve()));
  });
}

function verified(headers, body) {
  const timestamp = headers["x-xumm-request-timestamp"] ?? "";
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_SECONDS)) return false;
  const expected = createHmac("sha1", key).update(timestamp).update(body).digest();
  const given = Buffer.from(headers["x-xumm-request-signature"] ?? "", "hex");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

const app = Fastify({ logger: false });
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));

app.post("/webhooks/shop", async (request, reply) => {
  if (!verified(request.headers, request.body)) return reply.code(401).send();
  const webhook = parsed(request.body);
  if (webhook === undefined || !request.validateInput(webhook, schema)) return reply.code(422).send();
  const outcome = webhook.payloadResponse.signed ? "signed" : "rejected";
  await publish(`shop.sign.${outcome}`, Buffer.from(JSON.stringify(webhook)), webhook.meta.payload_uuidv4);
  return reply.code(200).send();
});

app.get("/ready", async (_request, reply) => reply.code(200).send());

process.once("SIGTERM", async () => {
  await app.close();
  await connection.close();
});

await app.listen({ host: "127.0.0.1", port: Number(PORT) });
