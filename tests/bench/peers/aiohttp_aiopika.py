"""A webhook service on aiohttp and aio-pika, as a competent user would write it: no dedupe, no outbox."""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

TOLERANCE_SECONDS = 300
EXCHANGE: web.AppKey[aio_pika.abc.AbstractExchange] = web.AppKey("exchange")


class Meta(BaseModel):
    url: str
    application_uuidv4: str
    payload_uuidv4: str
    opened_by_deeplink: bool | None = None


class CustomMeta(BaseModel):
    identifier: str | None = None
    blob: Any = None
    instruction: str | None = None


class PayloadResponse(BaseModel):
    payload_uuidv4: str
    reference_call_uuidv4: str | None = None
    signed: bool
    txid: str | None = None


class UserToken(BaseModel):
    user_token: str | None = None
    token_issued: int | None = None
    token_expiration: int | None = None


class Webhook(BaseModel):
    meta: Meta
    custom_meta: CustomMeta | None = None
    payload_response: PayloadResponse = Field(alias="payloadResponse")
    user_token: UserToken | None = Field(default=None, alias="userToken")


SECRET = os.environ["XUMM_API_SECRET"].replace("-", "", 1).encode()


def verified(request: web.Request, body: bytes) -> bool:
    timestamp = request.headers.get("x-xumm-request-timestamp", "")
    signature = request.headers.get("x-xumm-request-signature", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(SECRET, timestamp.encode() + body, hashlib.sha1).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


async def receive(request: web.Request) -> web.Response:
    body = await request.read()
    if not verified(request, body):
        return web.Response(status=401)
    try:
        webhook = Webhook.model_validate_json(body)
    except ValidationError:
        return web.Response(status=422)
    outcome = "signed" if webhook.payload_response.signed else "rejected"
    message = aio_pika.Message(
        webhook.model_dump_json().encode(),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=webhook.meta.payload_uuidv4,
    )
    await request.app[EXCHANGE].publish(message, routing_key=f"shop.sign.{outcome}")
    return web.Response()


async def ready(_request: web.Request) -> web.Response:
    return web.Response()


async def broker(app: web.Application) -> AsyncIterator[None]:
    connection = await aio_pika.connect_robust(os.environ["AMQP_URL"])
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.declare_exchange(
            os.environ["AMQP_EXCHANGE"], aio_pika.ExchangeType.TOPIC, durable=True
        )
        queue = await channel.declare_queue(os.environ["AMQP_QUEUE"], durable=True)
        await queue.bind(exchange, "*.sign.signed")
        app[EXCHANGE] = exchange
        yield


def new_event_loop() -> asyncio.AbstractEventLoop:
    if "UVLOOP" not in os.environ:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def main() -> None:
    app = web.Application()
    app.cleanup_ctx.append(broker)
    app.router.add_post("/webhooks/shop", receive)
    app.router.add_get("/ready", ready)
    port = int(os.environ["PORT"])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, loop=new_event_loop())


if __name__ == "__main__":
    main()
