// The page: forms, keys, text and chart. The engine is in a worker of its own (engine.js); every
// run has a number, and what an older run still says is not shown.
const $ = (id) => document.getElementById(id)
const engine = new Worker(new URL("./engine.js", import.meta.url), { type: "module" })
let run = 0
/** What is running: "write", "train", "tune" or nothing. */
let job
/** Where each says how far it is, and the button that stops it. */
const saying = { write: "writing", train: "training", tune: "tuning" }

function start(name, options) {
  stop()
  job = name
  $("error").hidden = true
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1
  engine.postMessage({ run: ++run, job, backend: $("backend").value, seed, ...options })
  showState()
}

function stop() {
  if (!job) return
  $(saying[job]).textContent += ", stopped"
  end()
  engine.postMessage({ run })
}

function end() {
  job = undefined
  run++
  showState()
}

function showState() {
  const focused = document.activeElement
  for (const [name, id] of Object.entries(saying)) $(`stop-${id}`).disabled = job !== name
  // Read out when it is whole, not word by word.
  $("text").ariaBusy = String(job === "write")
  // A button that is switched off loses the focus.
  if (!focused?.disabled) return
  $(Object.keys(saying).find((name) => `stop-${saying[name]}` === focused.id) ?? "write").focus()
}

function fail(message) {
  if (job) $(saying[job]).textContent = "Failed."
  $("error").textContent = message.split("\n")[0]
  $("error").hidden = false
  $("error").scrollIntoView({ block: "nearest" })
  end()
}

engine.addEventListener("message", ({ data: { run: number, ...message } }) => {
  if (number !== run) return
  if (message.error) return fail(message.error)
  const shown = { write: showWriting, train: showTraining, tune: showTuning }
  shown[job](message)
  if (message.end) end()
})
engine.addEventListener("error", (event) => {
  event.preventDefault()
  fail(event.message || "The engine did not load: build the page again.")
})

// ---- Writing ------------------------------------------------------------------------------------

let machine = ""

function write() {
  const prompt = $("prompt").value
  const given = document.createElement("span")
  given.className = "given"
  given.textContent = prompt
  $("text").replaceChildren(given, document.createTextNode(""))
  $("writing").textContent = "Preparing"
  const isTuned = $("tuned").checked
  start("write", { prompt, temperature: Number($("temperature").value), isTuned })
}

function showWriting({ text, tokens, tokensPerSecond, loaded, machine: name }) {
  machine = name ?? machine
  // Behind the weights come the kernels, which a GPU takes a while to compile.
  if (loaded < 1) $("writing").textContent = `Loading, ${Math.round(100 * loaded)} %`
  if (loaded === 1) $("writing").textContent = "Preparing"
  if (text === undefined) return
  $("text").lastChild.appendData(text)
  const speed = tokens > 1 ? `, ${speedOf(tokensPerSecond)}` : ""
  $("writing").textContent = `${machine}, ${tokens} tokens${speed}`
}

const speedOf = (perSecond) =>
  `${perSecond < 100 ? perSecond.toPrecision(2) : Math.round(perSecond).toLocaleString("en")} tokens/s`

$("form").addEventListener("submit", (event) => {
  event.preventDefault()
  write()
})
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  write()
})
$("temperature").addEventListener("input", ({ target }) => {
  $("degrees").textContent = Number(target.value).toFixed(1)
})
$("stop-writing").addEventListener("click", stop)
$("stop-training").addEventListener("click", stop)
$("stop-tuning").addEventListener("click", stop)
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") stop()
})

// ---- Training -----------------------------------------------------------------------------------

let losses = []
let maxSteps = 600

$("train").addEventListener("click", () => {
  losses = []
  $("sample").textContent = ""
  $("training").textContent = "Preparing"
  start("train")
})

function showTraining({ maxSteps: most, step, loss, tokensPerSecond, ...rest }) {
  machine = rest.machine ?? machine
  maxSteps = most ?? maxSteps
  if (rest.sample !== undefined) $("sample").textContent = rest.sample
  if (step === undefined) return
  losses.push(loss)
  const progress = `step ${step} of ${maxSteps}, loss ${loss.toFixed(2)}`
  $("training").textContent = `${machine}, ${progress}, ${speedOf(tokensPerSecond)}`
  requestAnimationFrame(draw)
}

/** The loss by step, on axes from 0 to a little over ln 259, where guessing begins. */
function draw() {
  const [width, height, most] = [$("chart").clientWidth, 220, 6]
  const [left, right, top, bottom] = [22, width - 2, 26, height - 24]
  const x = (step) => left + ((right - left) * step) / maxSteps
  const y = (loss) => bottom - ((bottom - top) * Math.min(loss, most)) / most
  const parts = [0, 2, 4, 6].flatMap((loss) => [
    make("line", { x1: left, x2: right, y1: y(loss), y2: y(loss) }),
    make("text", { x: left - 8, y: y(loss) + 5, "text-anchor": "end" }, loss),
  ])
  parts.push(make("text", { x: left, y: 14 }, "loss"))
  parts.push(make("text", { x: right, y: height - 4, "text-anchor": "end" }, `step ${maxSteps}`))
  parts.push(make("text", { x: left, y: height - 4 }, "0"))
  if (losses.length > 0) {
    parts.push(make("polyline", { points: losses.map((v, i) => `${x(i + 1)},${y(v)}`).join(" ") }))
    const [first, last] = [losses[0], losses.at(-1)].map((v) => v.toFixed(2))
    $("chart").setAttribute("aria-label", `Loss from ${first} to ${last} in ${losses.length} steps`)
  }
  $("chart").setAttribute("viewBox", `0 0 ${width} ${height}`)
  $("chart").replaceChildren(...parts)
}

function make(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.textContent = text
  return element
}

// ---- Tuning -------------------------------------------------------------------------------------

/** What the links point to. */
let addresses = []

$("tune").addEventListener("click", () => {
  $("changed").hidden = true
  $("files").hidden = true
  $("after").textContent = ""
  $("tuning").textContent = "Preparing"
  const lines = $("lines")
    .value.split("\n")
    .filter((line) => line.trim() !== "")
  start("tune", { lines, prompt: $("prompt").value })
})
$("backend").addEventListener("change", () => {
  // What one has learnt the other has not.
  $("tuned").checked = false
  $("tuned").disabled = true
})

function showTuning({ before, update, updates, loss, after, files, ...rest }) {
  machine = rest.machine ?? machine
  if (rest.loaded < 1) $("tuning").textContent = `Loading, ${Math.round(100 * rest.loaded)} %`
  if (before !== undefined) showText("before", before)
  if (update) {
    const progress = `update ${update} of ${updates}, loss ${loss.toFixed(2)}`
    $("tuning").textContent = `${machine}, ${progress}`
  }
  if (after === undefined) return
  showText("after", after)
  showFiles(files)
  $("tuned").disabled = false
  $("tuned").checked = true
}

function showText(id, text) {
  const given = document.createElement("span")
  given.className = "given"
  given.textContent = $("prompt").value
  $(id).replaceChildren(given, document.createTextNode(text))
  $("changed").hidden = false
}

/** A link for each file of the adapter. */
function showFiles(files) {
  for (const address of addresses) URL.revokeObjectURL(address)
  const links = [...files].map(([name, bytes]) => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob([bytes]))
    link.download = name
    link.textContent = name
    return link
  })
  addresses = links.map(({ href }) => href)
  for (const old of $("files").querySelectorAll("a")) old.remove()
  $("files").append(...links.flatMap((link, i) => (i ? [", ", link] : [link])))
  $("files").hidden = false
}

// ---- Endpoint -----------------------------------------------------------------------------------

/** Sets up what answers fetches below v1/ in this page, where the browser lets it. */
async function listen() {
  const { serviceWorker } = navigator
  if (!serviceWorker) throw new Error("this browser has no service workers here")
  serviceWorker.addEventListener("message", ({ data: request, ports }) => {
    engine.postMessage({ request, backend: $("backend").value }, [...ports])
  })
  await serviceWorker.register("endpoint.js")
  await serviceWorker.ready
  $("ask").disabled = false
}

/** The text of a stream of completions, piece by piece. */
async function* piecesOf(response) {
  let rest = ""
  // Not every browser's streams are iterable.
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const lines = `${rest}${next.value}`.split("\n\n")
    rest = lines.pop()
    for (const line of lines) {
      if (line !== "data: [DONE]") yield JSON.parse(line.slice(6)).choices[0].text
    }
  }
}

async function ask() {
  $("answer").textContent = ""
  $("asking").textContent = "Asked"
  const asked = { model: "OpenELM-small", max_tokens: 60, temperature: 0.8, stream: true }
  const body = { ...asked, prompt: $("prompt").value }
  const response = await fetch("v1/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error((await response.json()).error.message)
  for await (const text of piecesOf(response)) $("answer").append(text)
  $("asking").textContent = "Answered"
}

const unanswered = ({ message }) => {
  $("asking").textContent = `No answer: ${message}`
}
$("ask").addEventListener("click", () => ask().catch(unanswered))
listen().catch(unanswered)

// ---- At the start -------------------------------------------------------------------------------

new ResizeObserver(draw).observe($("chart"))
if (!(await navigator.gpu?.requestAdapter())) {
  const option = $("backend").querySelector('[value="webgpu"]')
  option.disabled = true
  option.textContent += " (not in this browser)"
}
