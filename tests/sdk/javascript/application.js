'use strict'

// An application on Xumm's kit for backends. It walks through all that the kit offers, and tells each step on a line
// of standard output in JSON. Arguments: where Xumm is, API key, API secret, an account, a one-time token of an xApp.

const { XummSdk, XummSdkJwt } = require('xumm-sdk')

const PAYMENT = {
  txjson: {
    TransactionType: 'Payment',
    Destination: 'rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe',
    Amount: '1000000'
  },
  options: { expire: 5, return_url: { app: 'shop://done?id={id}' } },
  custom_meta: { identifier: 'order-javascript', blob: { a: [1] }, instruction: 'Hey ❤️' }
}
const HOOK = '31C3EC186C367DA66DFBD0E576D6170A2C1AB846BFC35FC0B49D202F2A8CDFD8'
const NFTOKEN = '000B013A95F14B0E44F78A264E41713C64B5F89242540EE208C3098E00000D65'

const tell = (told, value) => process.stdout.write(JSON.stringify({ told, value }) + '\n')
const hear = event => {
  tell('message', event.data)
  return event.data.signed === undefined ? undefined : event.data
}

async function backend (base, key, secret, account) {
  const sdk = new XummSdk(key, secret)
  sdk.setEndpoint(base)
  tell('pong', (await sdk.ping()).application.uuidv4)

  const created = await sdk.payload.create(PAYMENT, true)
  tell('created', created)
  tell('fetched', await sdk.payload.get(created.uuid, true))
  const subscription = await sdk.payload.subscribe(created.uuid, hear)
  await subscription.resolved
  const signed = await sdk.payload.get(created.uuid, true)
  tell('signed', signed)
  const token = signed.application.issued_user_token
  tell('tokens', await sdk.verifyUserTokens([token, key]))
  tell('token', await sdk.verifyUserToken(token))
  tell('transaction', await sdk.getTransaction(signed.response.txid))

  const second = await sdk.payload.createAndSubscribe({ TransactionType: 'SignIn' }, hear)
  tell('resolved', await second.resolved)
  const withdrawn = await sdk.payload.create({ TransactionType: 'SignIn' }, true)
  tell('cancelled', await sdk.payload.cancel(withdrawn, true))
  tell('unknown', await sdk.payload.get(key))
  tell('bad', await sdk.payload.create({ TransactionType: 'Nonsense' }))

  tell('assets', await sdk.getCuratedAssets())
  tell('rates', await sdk.getRates('usd'))
  tell('rails', await sdk.getRails())
  tell('hooks', { all: await sdk.getHookHashes(), one: await sdk.getHookHash(HOOK) })
  tell('kyc', [await sdk.getKycStatus(account), await sdk.getKycStatus(token)])
  tell('pushed', [
    await sdk.Push.notification({ user_token: token, body: 'Hey' }),
    await sdk.Push.event({ user_token: token, body: 'Hey', data: { a: 1 } })
  ])
  tell('stored', [await sdk.storage.set({ a: 1 }), await sdk.storage.get(), await sdk.storage.delete(), await sdk.storage.get()])
}

async function xapp (base, key, ott) {
  const sdk = new XummSdkJwt(key, ott)
  sdk.setEndpoint(base)
  tell('ott', await sdk.getOttData())
  tell('jwt', await sdk.getJwt())
  tell('xapp_pong', (await sdk.ping()).jwtData)
  tell('nftoken', await sdk.getNftokenDetail(NFTOKEN))
  tell('userdata', [
    await sdk.jwtUserdata.set('first', { a: 1 }),
    await sdk.jwtUserdata.list(),
    await sdk.jwtUserdata.get('first'),
    await sdk.jwtUserdata.get(['first', 'second']),
    await sdk.jwtUserdata.delete('first'),
    await sdk.jwtUserdata.list()
  ])
  tell('users', (await sdk.payload.create({ TransactionType: 'SignIn' }, true)).pushed)
}

async function main ([base, key, secret, account, ott, other]) {
  await xapp(base, key, ott)
  const sdk = new XummSdk(key, secret)
  sdk.setEndpoint(base)
  tell('other', (await sdk.xApp.get(other)).account)
  await backend(base, key, secret, account)
}

main(process.argv.slice(2)).then(() => process.exit(0), error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
