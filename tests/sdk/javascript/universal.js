'use strict'

// An application on Xumm's universal kit, in a backend. The kit is told where Xumm is by the one beneath it, which it
// lends its helpers from. Arguments and output are those of application.js.

const { Xumm } = require('xumm')

const tell = (told, value) => process.stdout.write(JSON.stringify({ told, value }) + '\n')

async function main ([base, key, secret, account]) {
  const xumm = new Xumm(key, secret)
  await xumm.helpers.setEndpoint(base)
  tell('pong', (await xumm.ping()).application.uuidv4)

  const watched = await xumm.payload.createAndSubscribe(
    {
      txjson: { TransactionType: 'Payment', Destination: 'rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe', Amount: '1000000' },
      custom_meta: { identifier: 'order-universal' }
    },
    event => {
      tell('message', event.data)
      return event.data.signed === undefined ? undefined : event.data
    }
  )
  tell('resolved', await watched.resolved)
  const signed = await xumm.payload.get(watched.created.uuid)
  tell('signed', signed)
  const withdrawn = await xumm.payload.create({ TransactionType: 'SignIn' })
  tell('cancelled', await xumm.payload.cancel(withdrawn.uuid))

  const token = signed.application.issued_user_token
  tell('tokens', await xumm.helpers.verifyUserTokens([token, key]))
  tell('assets', await xumm.helpers.getCuratedAssets())
  tell('rates', await xumm.helpers.getRates('USD'))
  tell('kyc', [await xumm.helpers.getKycStatus(account), await xumm.helpers.getKycStatus(token)])
  tell('transaction', await xumm.helpers.getTransaction(signed.response.txid))
  tell('rails', await xumm.helpers.getRails())
  tell('pushed', [
    await xumm.push.notification({ user_token: token, body: 'Hey' }),
    await xumm.push.event({ user_token: token, body: 'Hey' })
  ])
  tell('stored', [
    await xumm.backendstore.set({ a: 1 }),
    await xumm.backendstore.get(),
    await xumm.backendstore.delete(),
    await xumm.backendstore.get()
  ])
}

main(process.argv.slice(2)).then(() => process.exit(0), error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
