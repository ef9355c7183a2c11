// What a token says, read in the browser alone: nothing here asks a server, and nothing here verifies.

const LONGEST = 65536
const DAY = 86400

const HEADER = {
  alg: "what it is signed with",
  enc: "what it is encrypted with",
  kid: "which of the issuer's keys",
  typ: "what kind of token it is",
}
const CLAIMS = {
  acr: "how the user logged in",
  aud: "whom it is for",
  azp: "the client it was issued to",
  client_id: "the client it was issued to",
  cnf: "what it is bound to",
  iss: "who issued it",
  jti: "its own name",
  scope: "what it allows",
  scp: "what it allows",
  sub: "whom it is about",
}
const TIMES = { auth_time: "logged in", exp: "ends", iat: "issued", nbf: "holds from" }

/** Write out what has no shape of its own, or turns the text around it: controls, invisible and bidi characters. */
export const visible = (text) =>
  text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    character === "\n" || character === "\t" ? character : `\\u{${character.codePointAt(0).toString(16)}}`)

/** Return what can be said of `text` at the time `now`, in seconds: a sentence, and parts with their members. */
export const decode = (text, now) => {
  const token = text.trim()
  if (!token) return said("There is no token yet.")
  if (token.length > LONGEST) return said(`This is longer than ${LONGEST} characters, which is no token.`)
  const pieces = token.split(".")
  if (pieces.length === 5) return encrypted(pieces)
  if (pieces.length !== 3 || !/^[\w-]+$/.test(pieces[0])) {
    return said("An opaque token: there is nothing in it to read. Its issuer alone knows what it stands for.")
  }
  try {
    return signed(pieces, now)
  } catch (error) {
    return said(`It has the three parts of a JWT, and is none: ${why(error)}`)
  }
}

const said = (sentence, parts = []) => ({ sentence, parts })

const encrypted = ([header]) => {
  try {
    const parts = [part("Header", header, meaningOf(HEADER))]
    return said("An encrypted token (JWE): all but its header is for whoever has the key.", parts)
  } catch (error) {
    return said(`It has the five parts of an encrypted token, and is none: ${why(error)}`)
  }
}

const why = (error) => (error instanceof RangeError ? "it is nested too deep." : error.message)

const signed = ([header, payload, signature], now) => {
  const parts = [
    part("Header", header, meaningOf(HEADER)),
    part("Claims", payload, (name, value) => timeOf(name, value, now) ?? meaningOf(CLAIMS)(name)),
  ]
  const bytes = bytesOf(signature, "signature").length
  return said(`A JWT, with a signature of ${bytes} bytes that was not looked at.`, parts)
}

const part = (title, piece, meaning) => {
  const what = title === "Claims" ? "payload" : "header"
  const text = textOf(bytesOf(piece, what), what)
  const values = read(text, what)
  const exact = read(text, what, asWritten)
  const members = Object.keys(values).map((name) => ({
    name: visible(name),
    value: visible(JSON.stringify(exact[name])),
    means: meaning(name, values[name]) ?? "",
  }))
  return { title, members }
}

const bytesOf = (piece, what) => {
  // RFC 7515 section 2: base64url without padding
  if (!/^[\w-]*$/.test(piece) || piece.length % 4 === 1) throw new Error(`its ${what} is not base64url.`)
  return Uint8Array.from(atob(piece.replaceAll("-", "+").replaceAll("_", "/")), (byte) => byte.charCodeAt(0))
}

const textOf = (bytes, what) => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Error(`its ${what} is not UTF-8.`)
  }
}

const read = (text, what, reviver) => {
  let value
  try {
    value = JSON.parse(text, reviver)
  } catch (error) {
    throw error instanceof SyntaxError ? new Error(`its ${what} is not JSON.`) : error
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Error(`its ${what} is no JSON object.`)
  }
  return value
}

// A number that JavaScript cannot hold would be shown as another one.
const asWritten = (_, value, at) => (typeof value === "number" && at?.source && JSON.rawJSON ? JSON.rawJSON(at.source) : value)

const meaningOf = (known) => (name) => (Object.hasOwn(known, name) ? known[name] : undefined)

const timeOf = (name, value, now) => {
  if (!Object.hasOwn(TIMES, name) || typeof value !== "number") return undefined
  const date = new Date(value * 1000)
  if (Number.isNaN(date.getTime())) return `${TIMES[name]} at no date there is`
  const written = date.toISOString().replace("T", " ").replace(/(\.\d+)?Z$/, " UTC")
  const verb = name === "exp" && value <= now ? "ended" : TIMES[name]
  return `${verb} ${distance(value - now)}: ${written}`
}

const distance = (seconds) => {
  const words = new Intl.RelativeTimeFormat("en")
  const size = Math.abs(seconds)
  if (size < 90) return words.format(Math.round(seconds), "second")
  if (size < 5400) return words.format(Math.round(seconds / 60), "minute")
  if (size < 2 * DAY) return words.format(Math.round(seconds / 3600), "hour")
  return words.format(Math.round(seconds / DAY), "day")
}
