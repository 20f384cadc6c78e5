// The page at "/": a conversation with the model that is served, or a text that goes on. One file without
// anything from elsewhere; what is said by the model is only ever text.
const style = `
:root { color-scheme: light dark; --line: light-dark(#d5d5dc, #3a3a44); --soft: light-dark(#f3f3f7, #202028);
  --mine: light-dark(#dfe9ff, #26365c); --accent: light-dark(#2456c8, #8fb0ff); --faint: light-dark(#5c5c66, #a0a0ac) }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; height: 100dvh; display: flex; flex-direction: column;
  background: light-dark(#fff, #16161c); color: light-dark(#1b1b22, #e9e9f0) }
header, form { padding: .6rem max(1rem, calc(50% - 24rem)); background: var(--soft) }
header { border-bottom: 1px solid var(--line); display: flex; gap: .8rem; align-items: center; flex-wrap: wrap }
h1 { font-size: 1rem; margin: 0 auto 0 0 }
form { border-top: 1px solid var(--line); display: flex; gap: .5rem; align-items: flex-end }
main { flex: 1; overflow-y: auto; padding: 1rem max(1rem, calc(50% - 24rem)) }
article { margin: 0 0 .8rem; padding: .5rem .8rem; border-radius: .6rem; white-space: pre-wrap;
  overflow-wrap: anywhere; border: 1px solid var(--line) }
article.user { background: var(--mine); margin-left: 12% }
article.error { border-color: light-dark(#b3261e, #ff9c94); color: light-dark(#b3261e, #ff9c94) }
article p { margin: 0 }
article small, #hint { color: var(--faint) }
textarea, input, select, button { font: inherit; color: inherit; background: light-dark(#fff, #16161c);
  border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .6rem }
textarea { flex: 1; min-width: 0; resize: none; max-height: 40dvh; field-sizing: content }
button { cursor: pointer; min-height: 2.5rem }
button.main { background: var(--accent); color: light-dark(#fff, #10131c); border-color: transparent }
button:disabled { opacity: .5; cursor: default }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px }
details { flex-basis: 100% }
summary { cursor: pointer; color: var(--faint) }
fieldset { border: 0; margin: 0; padding: .5rem 0 0; display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)) }
label { display: grid; font-size: .85rem; color: var(--faint) }
label > * { width: 100%; font-size: 1rem }
`

const script = `
const $ = (id) => document.getElementById(id)
const messages = []
let running

const headers = () => ({
  "content-type": "application/json",
  ...($("key").value ? { authorization: "Bearer " + $("key").value } : {}),
})

function show(role, text) {
  const article = document.createElement("article")
  article.className = role
  const p = document.createElement("p")
  p.textContent = text
  article.append(p)
  $("said").append(article)
  $("said").scrollTop = $("said").scrollHeight
  return article
}

async function explain(response) {
  const text = await response.text()
  try { return JSON.parse(text).error.message } catch { return text || response.statusText }
}

async function loadModels() {
  const response = await fetch("v1/models", { headers: headers() })
  if (!response.ok) {
    $("settings").open = true
    return show("error", await explain(response))
  }
  const { data } = await response.json()
  $("model").replaceChildren(...data.map(({ id }) => new Option(id, id)))
}

async function* eventsOf(response) {
  const decoder = new TextDecoder()
  let rest = ""
  const reader = response.body.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    rest += decoder.decode(value, { stream: true })
    const lines = rest.split("\\n\\n")
    rest = lines.pop()
    for (const line of lines) {
      const data = line.replace(/^data: /, "")
      if (data !== "[DONE]") yield JSON.parse(data)
    }
  }
}

function bodyOf(text, isChat) {
  const seed = $("seed").value
  return {
    model: $("model").value,
    stream: true,
    stream_options: { include_usage: true },
    temperature: Number($("temperature").value),
    top_p: Number($("topP").value),
    max_tokens: Number($("most").value),
    ...(seed === "" ? {} : { seed: Number(seed) }),
    ...(isChat
      ? { messages: [...($("system").value ? [{ role: "system", content: $("system").value }] : []), ...messages] }
      : { prompt: text }),
  }
}

async function answer(text) {
  const isChat = $("mode").value === "chat"
  show("user", text)
  if (isChat) messages.push({ role: "user", content: text })
  const article = show("assistant", "")
  const p = article.firstChild
  running = new AbortController()
  busy(true)
  const began = performance.now()
  let count = 0
  try {
    const response = await fetch(isChat ? "v1/chat/completions" : "v1/completions", {
      method: "POST",
      headers: headers(),
      body: JSON.stringify(bodyOf(text, isChat)),
      signal: running.signal,
    })
    if (!response.ok) throw new Error(await explain(response))
    for await (const { error, choices, usage } of eventsOf(response)) {
      if (error) throw new Error(error.message)
      const isAtEnd = $("said").scrollTop + $("said").clientHeight > $("said").scrollHeight - 40
      p.textContent += choices[0]?.delta?.content ?? choices[0]?.text ?? ""
      if (isAtEnd) $("said").scrollTop = $("said").scrollHeight
      count = usage?.completion_tokens ?? count
    }
  } catch (error) {
    if (error.name !== "AbortError") show("error", error.message)
  }
  const seconds = (performance.now() - began) / 1000
  if (count > 0) {
    const small = document.createElement("small")
    small.textContent = count + " tokens, " + (count / seconds).toFixed(1) + " tokens/s"
    article.append(small)
  }
  if (p.textContent === "") article.remove()
  else if (isChat) messages.push({ role: "assistant", content: p.textContent })
  busy(false)
  $("text").focus()
}

function busy(isBusy) {
  $("send").disabled = isBusy
  $("stop").disabled = !isBusy
  $("said").setAttribute("aria-busy", isBusy)
}

$("form").onsubmit = (event) => {
  event.preventDefault()
  const text = $("text").value
  if (text.trim() === "" || $("send").disabled) return
  $("text").value = ""
  answer(text)
}
$("text").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  $("form").requestSubmit()
}
document.onkeydown = (event) => { if (event.key === "Escape") running?.abort() }
$("stop").onclick = () => running?.abort()
$("new").onclick = () => {
  running?.abort()
  messages.length = 0
  $("said").replaceChildren()
  $("text").focus()
}
$("key").onchange = loadModels
loadModels()
`

const field = (id: string, name: string, attributes: string): string =>
  `<label for="${id}">${name}<input id="${id}" ${attributes}></label>`

const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>openelm</title>
<style>${style}</style>
<header>
  <h1>openelm</h1>
  <label for="model">Model<select id="model"></select></label>
  <button id="new" type="button">New</button>
  <details id="settings">
    <summary>Settings</summary>
    <fieldset>
      <label for="mode">Mode<select id="mode"><option value="chat">conversation</option><option value="text">a text goes on</option></select></label>
      ${field("temperature", "Temperature", 'type="number" min="0" max="2" step="0.1" value="0.7"')}
      ${field("topP", "Top p", 'type="number" min="0.01" max="1" step="0.01" value="1"')}
      ${field("most", "Most tokens", 'type="number" min="1" step="1" value="256"')}
      ${field("seed", "Seed", 'type="number" step="1" placeholder="another each time"')}
      ${field("system", "The system says", "")}
      ${field("key", "API key", 'type="password" autocomplete="off"')}
    </fieldset>
  </details>
</header>
<main id="said" aria-live="polite"></main>
<form id="form">
  <textarea id="text" rows="1" aria-label="Message" placeholder="Say something" autofocus></textarea>
  <button id="stop" type="button" disabled title="Escape">Stop</button>
  <button id="send" class="main">Send</button>
</form>
<script>${script}</script>
</html>
`

/** Nothing is loaded from elsewhere, and nobody frames it. */
const policy =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; " +
  "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export const page = (): Response =>
  new Response(html, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    },
  })
