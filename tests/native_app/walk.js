'use strict'

// The app's own modules, compiled for Node, walk through what a user does, and tell each step on a line of standard
// output in JSON. A line of standard input is a link that the system hands to the app, or says to go on.
// Arguments: the compiled modules, the service, the return URL.

const readline = require('node:readline')
const path = require('node:path')

const [modules, base, returnUrl] = process.argv.slice(2)
const { Client, Refused } = require(path.join(modules, 'client.js'))
const { openWallet, returned } = require(path.join(modules, 'links.js'))

const tell = (told, value) => process.stdout.write(JSON.stringify({ told, value }) + '\n')
const opener = { openURL: async url => tell('opened', url) }
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const heard = async () => (await lines.next()).value

// What React Native has and Node has not: text as it comes. `cut` breaks the first connection after an event.
let cut = true
class XMLHttpRequest {
  constructor () {
    this.headers = {}
    this.abortion = new AbortController()
    this.responseText = ''
    this.status = 0
    this.readyState = 0
  }

  open (method, url) { this.url = url }
  setRequestHeader (name, value) { this.headers[name] = value }
  getResponseHeader (name) { return this.response?.headers.get(name) ?? null }
  abort () { this.abortion.abort() }

  async send () {
    tell('connected', this.headers['Last-Event-ID'] ?? null)
    try {
      this.response = await fetch(this.url, { headers: this.headers, signal: this.abortion.signal })
      this.status = this.response.status
      this.readyState = 2
      this.onreadystatechange()
      const decoder = new TextDecoder()
      for await (const piece of this.response.body) {
        const text = decoder.decode(piece, { stream: true })
        for (const part of [text.slice(0, 7), text.slice(7)]) { // cut anywhere
          this.responseText += part
          this.onprogress()
        }
        if (cut && this.responseText.includes('data:')) {
          cut = false
          this.abort()
        }
      }
    } catch (error) {
      if (error.name !== 'AbortError' && !(error instanceof TypeError)) throw error
    }
    this.onloadend()
  }
}
globalThis.XMLHttpRequest = XMLHttpRequest

function follow (client, followed, bearer) {
  let follower
  const end = new Promise((resolve, reject) => {
    follower = client.follow(followed, bearer, {
      onEvent: event => tell('event', [event.type, event.sequence]),
      onEnd: resolve,
      onRefused: status => reject(new Error(`refused: ${status}`))
    })
  })
  return { follower, end }
}

const reasonOf = promise => promise.then(() => null, error => error instanceof Refused ? error.reason : error.name)

async function main () {
  const client = new Client(base, 'shop')
  const begun = await client.signIn()
  tell('early', await reasonOf(client.session(begun)))
  const signing = follow(client, begun, begun.exchange_secret)
  await openWallet(begun.link, opener)
  await signing.end
  const session = await client.session(begun)
  tell('me', await client.me(session))

  const wanted = {
    txjson: { TransactionType: 'Payment', Destination: 'rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe', Amount: '1000000' },
    submit: true,
    return_url: { app: returnUrl }
  }
  const made = await client.signRequest(session, wanted, 'key-1')
  const again = await client.signRequest(session, wanted, 'key-1')
  tell('same', made.id === again.id)
  const paying = follow(client, made, session.token)
  paying.follower.suspend() // the wallet comes to the front
  await openWallet(made.link, opener)
  const link = await heard()
  tell('foreign', await returned(client, link.replace('shopapp', 'evilapp'), returnUrl))
  tell('returned', await returned(client, link, returnUrl))
  tell('twice', await returned(client, link, returnUrl))
  paying.follower.resume()
  await paying.end
  tell('status', await client.get(made, session.token))

  const other = await client.signRequest(session, wanted, 'key-2')
  tell('cancelled', await client.cancel(session, other.id))
  tell('listed', (await client.list(session)).items.map(item => item.id))
  tell('refused', await reasonOf(client.signRequest(session, { ...wanted, txjson: {} }, 'key-3')))
  tell('unreachable', await reasonOf(new Client('http://127.0.0.1:9', 'shop').me(session)))
  lines.return()
  process.stdin.destroy()
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
