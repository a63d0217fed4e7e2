'use strict'

// An application on Xumm's kit for JavaScript. It walks through what applications do, and tells each step on a line
// of standard output in JSON. Arguments: where Xumm is, API key, API secret.

const { XummSdk } = require('xumm-sdk')

const PAYMENT = {
  txjson: {
    TransactionType: 'Payment',
    Destination: 'rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe',
    Amount: '1000000'
  },
  options: { expire: 5, return_url: { app: 'shop://done?id={id}' } },
  custom_meta: { identifier: 'order-javascript', blob: { a: [1] }, instruction: 'Hey ❤️' }
}

const tell = (told, value) => process.stdout.write(JSON.stringify({ told, value }) + '\n')

async function main ([base, key, secret]) {
  const sdk = new XummSdk(key, secret)
  sdk.setEndpoint(base)
  tell('pong', (await sdk.ping()).application.uuidv4)

  const created = await sdk.payload.create(PAYMENT, true)
  tell('created', created)
  tell('fetched', await sdk.payload.get(created.uuid, true))
  const subscription = await sdk.payload.subscribe(created.uuid, event => {
    tell('message', event.data)
    return event.data.signed === undefined ? undefined : event.data
  })
  await subscription.resolved
  const signed = await sdk.payload.get(created.uuid, true)
  tell('signed', signed)
  tell('tokens', await sdk.verifyUserTokens([signed.application.issued_user_token, key]))

  const withdrawn = await sdk.payload.create({ TransactionType: 'SignIn' }, true)
  tell('cancelled', await sdk.payload.cancel(withdrawn, true))
  tell('unknown', await sdk.payload.get(key))
  tell('bad', await sdk.payload.create({ TransactionType: 'Nonsense' }))
}

main(process.argv.slice(2)).then(() => process.exit(0), error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
