// The page of `asgi-bearer dev`. What comes from outside is put in as text, never as markup.

import { decode, visible } from "/page/decode.js"

const find = (id) => document.getElementById(id)
const tokenForm = find("token-form")
const callForm = find("call-form")
const FLAGS = ["expired", "tampered", "revoked"]

let setup
let turns = 0

class Refused extends Error {
  constructor(errors) {
    super("refused")
    this.errors = errors
  }
}

/** Return an element; children that are strings become text. */
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

/** Post a form and return what is told; throw `Refused` with a sentence for each field that is wrong. */
const post = async (path, form) => {
  let reply
  try {
    const headers = { "content-type": "application/json" }
    reply = await fetch(path, { method: "POST", headers, body: JSON.stringify(form) })
  } catch {
    throw new Refused({ "": "The development server does not answer. Does it still run?" })
  }
  const told = reply.headers.get("content-type") === "application/json" ? await reply.json() : {}
  if (reply.ok) return told
  throw new Refused(told.errors ?? { "": `The development server refused this with ${reply.status}.` })
}

/** Do `work`, and show beside the fields of `form` what is wrong with them. A later turn makes an earlier one void. */
const attempt = async (form, work) => {
  const turn = ++turns
  showErrors(form, {})
  try {
    await work(() => turn === turns)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    if (turn === turns) showErrors(form, error.errors)
  }
}

/** Give each field of `form` a place for its error, and the form one for the others. */
const prepareErrors = (form) => {
  for (const field of fieldsOf(form)) {
    const error = make("p", { class: "error", id: `${field.name}-error` })
    field.closest("div, fieldset").append(error)
    field.setAttribute("aria-describedby", error.id)
  }
  form.append(make("p", { class: "error", id: `${form.id}-error`, role: "alert" }))
}

const fieldsOf = (form) => [...form.elements].filter((field) => field.name)

const showErrors = (form, errors) => {
  const others = { ...errors }
  let first
  for (const field of fieldsOf(form)) {
    const sentence = errors[field.name] ?? ""
    find(`${field.name}-error`).textContent = visible(sentence)
    if (sentence) field.setAttribute("aria-invalid", "true")
    else field.removeAttribute("aria-invalid")
    if (sentence) first ??= field
    delete others[field.name]
  }
  find(`${form.id}-error`).textContent = visible(Object.values(others).join(" "))
  first?.focus()
}

const fillToken = (values) => {
  for (const [name, value] of Object.entries(values)) {
    const field = tokenForm.elements[name]
    if (FLAGS.includes(name)) field.checked = value
    else field.value = value
  }
}

const readToken = () => {
  const flags = FLAGS.map((name) => [name, tokenForm.elements[name].checked])
  const texts = fieldsOf(tokenForm).filter((field) => !FLAGS.includes(field.name)).map((field) => [field.name, field.value])
  return { ...Object.fromEntries([...texts, ...flags]), expires_in: tokenForm.elements.expires_in.valueAsNumber }
}

const makeToken = async (isCurrent) => {
  const { token } = await post("/page/token", readToken())
  if (!isCurrent()) return
  useToken(token)
  find("token-said").textContent = "Made, and put into the field Token below."
}

const useToken = (token) => {
  find("token").value = token
  find("token-said").textContent = ""
  chooseCredentials("token")
  showToken()
}

const chooseCredentials = (choice) => {
  find("credentials").value = choice
  find("header-field").hidden = choice !== "header"
}

const authorization = () => {
  const choice = find("credentials").value
  if (choice === "none") return null
  return choice === "header" ? find("authorization").value : `Bearer ${find("token").value.trim()}`.trim()
}

const call = async (isCurrent) => {
  const { method, path } = callForm.elements
  const asked = { method: method.value, path: path.value, authorization: authorization() }
  find("answer").setAttribute("aria-busy", "true")
  try {
    const answer = await post("/page/call", asked)
    if (isCurrent()) showAnswer(asked, answer)
  } finally {
    find("answer").removeAttribute("aria-busy")
  }
}

const showAnswer = (asked, answer) => {
  const [first, ...others] = answer.lines
  const error = others.find((line) => line.text.startsWith('error="'))
  const badge = make("strong", { class: "status", "data-kind": Math.floor(answer.status / 100) }, String(answer.status))
  const phrase = first.text.replace(/^HTTP \d+ ?/, "")
  const problem = error ? [" ", make("code", {}, visible(error.text.slice(7, -1)))] : []
  const request = make("span", { class: "of" }, visible(` ${asked.method} ${asked.path}`))
  find("summary").replaceChildren(badge, ` ${phrase}`, ...problem, request)
  find("lines").replaceChildren(...answer.lines.map(lineOf))
  find("body").textContent = answer.body === null ? "(not text)" : visible(answer.body) || "(empty)"
  find("size").textContent = `${answer.size} bytes`
  find("headers").textContent = visible(answer.headers.map(([name, value]) => `${name}: ${value}`).join("\n"))
  find("wire").hidden = false
  find("answer").scrollIntoView({ block: "nearest" })
}

const lineOf = ({ text, means, then, source }) => {
  const said = make("div", {}, make("p", {}, means))
  if (then) said.append(make("p", { class: "then" }, then))
  if (source) said.append(make("p", {}, sourceOf(source)))
  // What stands below its scheme in the challenge does so here.
  const kind = /^[\w-]+="/.test(text) ? { class: "parameter" } : {}
  return make("li", kind, make("code", {}, visible(text)), said)
}

const sourceOf = (source) => {
  const [, number, section] = /^RFC (\d+) section ([\d.]+)$/.exec(source)
  const href = `https://www.rfc-editor.org/rfc/rfc${number}#section-${section}`
  return make("a", { href, target: "_blank", rel: "noopener noreferrer" }, source)
}

const showToken = () => {
  const { sentence, parts } = decode(find("token").value, Date.now() / 1000)
  find("decoded-said").textContent = visible(sentence)
  find("decoded").replaceChildren(...parts.flatMap(({ title, members }) => [
    make("h3", {}, title),
    make("dl", { class: "members" }, ...members.map(memberOf)),
  ]))
}

const memberOf = ({ name, value, means }) =>
  make("div", {}, make("dt", {}, make("code", {}, name)), make("dd", {}, make("code", {}, value), make("span", { class: "of" }, means)))

const tryPreset = async (preset, isCurrent) => {
  fillToken({ ...setup.token, ...preset.token })
  callForm.elements.method.value = "GET"
  if (preset.token === null) useNoToken(preset.authorization)
  else await makeToken(isCurrent)
  if (isCurrent()) await call(isCurrent)
}

const useNoToken = (header) => {
  useToken("")
  find("authorization").value = header ?? ""
  chooseCredentials(header === null ? "none" : "header")
}

const presetOf = (preset) => {
  const button = make("button", { type: "button" }, make("strong", {}, preset.label), " ", make("span", {}, preset.shows))
  button.addEventListener("click", () => {
    for (const other of find("presets").querySelectorAll("button")) other.removeAttribute("aria-current")
    button.setAttribute("aria-current", "true")
    attempt(callForm, (isCurrent) => tryPreset(preset, isCurrent))
  })
  return make("li", {}, button)
}

const submitOn = (field, isAsked) => {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !isAsked(event)) return
    event.preventDefault()
    field.form.requestSubmit()
  })
}

const handle = (form, work) => {
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    attempt(form, work)
  })
}

const start = async () => {
  for (const form of [tokenForm, callForm]) prepareErrors(form)
  handle(tokenForm, makeToken)
  handle(callForm, call)
  find("token").addEventListener("input", showToken)
  find("credentials").addEventListener("change", (event) => chooseCredentials(event.target.value))
  // A token is one line; JSON may have several.
  submitOn(find("token"), (event) => !event.shiftKey)
  submitOn(find("claims"), (event) => event.ctrlKey || event.metaKey)
  showToken()

  setup = await (await fetch("/page/setup")).json()
  find("name").textContent = setup.application.name
  find("application").textContent = setup.application.url
  find("issuer").textContent = setup.issuer
  find("paths").replaceChildren(...setup.application.paths.map((path) => make("option", { value: path })))
  callForm.elements.path.value = setup.application.paths[0]
  fillToken(setup.token)
  find("presets").replaceChildren(...setup.presets.map(presetOf))
  document.documentElement.dataset.ready = "true"
}

start()
