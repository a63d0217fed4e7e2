"""A webhook service on FastAPI and FastStream, as a competent user would write it: no dedupe, no outbox."""

import hashlib
import hmac
import os
import time
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from faststream.rabbit import ExchangeType, RabbitExchange, RabbitQueue
from faststream.rabbit.fastapi import RabbitRouter
from pydantic import BaseModel, Field, ValidationError

TOLERANCE_SECONDS = 300
SECRET = os.environ["XUMM_API_SECRET"].replace("-", "", 1).encode()

router = RabbitRouter(os.environ["AMQP_URL"])
exchange = RabbitExchange(os.environ["AMQP_EXCHANGE"], type=ExchangeType.TOPIC, durable=True)
publisher = router.publisher(exchange=exchange, persist=True)


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


def verified(request: Request, body: bytes) -> bool:
    timestamp = request.headers.get("x-xumm-request-timestamp", "")
    signature = request.headers.get("x-xumm-request-signature", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(SECRET, timestamp.encode() + body, hashlib.sha1).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


@router.after_startup
async def declare(_app: FastAPI) -> None:
    events = await router.broker.declare_exchange(exchange)
    queue = await router.broker.declare_queue(RabbitQueue(os.environ["AMQP_QUEUE"], durable=True))
    await queue.bind(events, "*.sign.signed")


@router.post("/webhooks/shop")
async def receive(request: Request) -> Response:
    body = await request.body()
    if not verified(request, body):
        return Response(status_code=401)
    try:
        webhook = Webhook.model_validate_json(body)
    except ValidationError:
        return Response(status_code=422)
    outcome = "signed" if webhook.payload_response.signed else "rejected"
    await publisher.publish(webhook, routing_key=f"shop.sign.{outcome}", message_id=webhook.meta.payload_uuidv4)
    return Response()


app = FastAPI()
app.include_router(router)


@app.get("/ready")
async def ready() -> Response:
    return Response()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False)
