// The example page in Chromium, used as a person would: typing, keys, choosing, stopping, on a wide
// screen and on a phone. ELM_SCREENSHOTS=DIR keeps pictures of it.
import { join } from "node:path"
import type { Page } from "playwright-core"
import { loadAdapter, OpenELM, open, shippedModel } from "../index.ts"
import { buildPage, launch, noWholeBrowser, pageOf, serve } from "./chromium.ts"
import t from "./tap.ts"

const prompt = "It is a truth universally acknowledged, that"
const pictures = process.env.ELM_SCREENSHOTS

const text = async (page: Page, id: string): Promise<string> =>
  (await page.textContent(`#${id}`)) ?? ""

const until = (page: Page, condition: string): Promise<unknown> =>
  page.waitForFunction(condition, undefined, { polling: 20, timeout: 120_000 })

const stopped = (page: Page, id: string) => until(page, `document.getElementById("${id}").disabled`)

const points = async (page: Page): Promise<number[]> => {
  const drawn = await page.locator("#chart polyline").getAttribute("points")
  return (drawn ?? "").split(" ").map((point) => Number(point.split(",")[1]))
}

const keep = (page: Page, name: string) =>
  page.screenshot({ fullPage: true, ...(pictures ? { path: join(pictures, `${name}.png`) } : {}) })

async function greedyText(): Promise<string> {
  await using backend = await open("wasm")
  await using model = await OpenELM.load(await shippedModel(), { backend })
  let whole = prompt
  for await (const token of model.generate(prompt)) whole += token.text
  return whole
}

t.test(
  "the example page writes, stops and says what is wrong",
  noWholeBrowser ? { skip: noWholeBrowser } : {},
  async (t) => {
    const out = t.testdir({})
    await buildPage(out)
    const url = await serve(t, out)
    const browser = await launch()
    t.teardown(() => browser.close())
    const want = await greedyText()

    await t.test("writes what the model writes in Node", async (t) => {
      const [page, complaints] = await pageOf(browser, { viewport: { width: 1100, height: 900 } })
      await page.goto(url)
      await page.fill("#temperature", "0")
      await page.fill("#prompt", prompt)
      await page.press("#prompt", "Enter")
      await stopped(page, "stop-writing")
      await until(page, `document.getElementById("writing").textContent.includes("tokens/s")`)
      t.equal(await text(page, "text"), want)
      t.match(
        await text(page, "writing"),
        /^wasm: .*SIMD, \d+ threads, \d+ tokens, [\d,.]+ tokens\/s$/,
      )

      await page.fill("#temperature", "1.5")
      t.equal(await text(page, "degrees"), "1.5")
      await page.press("#prompt", "Control+Enter")
      await stopped(page, "stop-writing")
      t.not(await text(page, "text"), want, "another text at another temperature")

      await page.fill("#prompt", "word ".repeat(300))
      await page.click("#write")
      await page.locator("#error").waitFor()
      t.match(await text(page, "error"), /^generate: a prompt of \d+ tokens exceeds [^\n]+$/)
      await page.fill("#prompt", prompt)
      await page.click("#write")
      await stopped(page, "stop-writing")
      t.ok(await page.locator("#error").isHidden(), "the next run takes the error away")
      await keep(page, "wide")
      t.same(complaints, [])
      await page.close()
    })

    await t.test("writes on webgpu, and stops at once", async (t) => {
      const [page, complaints] = await pageOf(browser)
      await page.goto(url)
      await page.selectOption("#backend", "webgpu")
      await page.fill("#temperature", "0")
      await page.fill("#prompt", prompt)
      await page.press("#prompt", "Enter")
      await until(page, `/ [3-9] tokens/.test(document.getElementById("writing").textContent)`)
      await page.keyboard.press("Escape")
      await stopped(page, "stop-writing")
      const so = await text(page, "text")
      t.ok(want.startsWith(so) && so.length > prompt.length, so)
      t.match(await text(page, "writing"), /^webgpu: .* tokens\/s, stopped$/)
      await page.waitForTimeout(2000)
      t.equal(await text(page, "text"), so, "nothing comes after it")
      t.same(complaints, [])
      await page.close()
    })

    await t.test("trains on a phone", async (t) => {
      const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }
      const [page, complaints] = await pageOf(browser, { ...phone, colorScheme: "dark" })
      await page.goto(url)
      const width = () => page.evaluate("document.documentElement.scrollWidth")
      t.equal(await width(), 360, "nothing lies beside the screen")
      await page.tap("#train")
      await until(page, `document.querySelectorAll("#sample:not(:empty)").length`)
      const drawn = await points(page)
      t.ok(drawn.length >= 40, `${drawn.length} points`)
      const [first = 0, last = 0] = [drawn[0], drawn.at(-1)]
      t.ok(last > first + 30, `the loss falls: from ${first} to ${last} pixels below the top`)
      await page.keyboard.press("Escape")
      await stopped(page, "stop-training")
      const said = await text(page, "training")
      t.match(said, /^wasm: .*, step \d+ of \d+, loss [23]\.\d\d, [\d,.]+ tokens\/s, stopped$/)
      await page.waitForTimeout(300)
      t.equal(await text(page, "training"), said, "nothing comes after it")
      t.equal(await width(), 360)
      await keep(page, "phone")
      t.same(complaints, [])
      await page.close()
    })

    await t.test("learns lines, writes so, and gives the adapter", async (t) => {
      const [page, complaints] = await pageOf(browser, { viewport: { width: 1100, height: 900 } })
      await page.goto(url)
      t.ok(await page.locator("#tuned").isDisabled(), "nothing is learnt yet")
      await page.fill("#lines", "")
      await page.click("#tune")
      await page.locator("#error").waitFor()
      t.match(await text(page, "error"), /nothing to learn: write a line/)
      await page.reload()
      await page.fill("#prompt", "Her mother")
      await page.click("#tune")
      await page.locator("#files:not([hidden])").waitFor({ timeout: 120_000 })
      await stopped(page, "stop-tuning")
      t.notMatch(await text(page, "before"), /all hands well/)
      t.match(await text(page, "after"), /^Her mother[\s\S]*all hands well/)
      t.match(await text(page, "tuning"), /^wasm: .*, update 40 of 40, loss 0\.\d\d$/)
      const folder = t.testdir({})
      for (const name of ["adapter_model.safetensors", "adapter_config.json"]) {
        const [file] = await Promise.all([
          page.waitForEvent("download"),
          page.locator("#files").getByText(name).click(),
        ])
        await file.saveAs(join(folder, name))
      }
      await keep(page, "tuned")
      // Text of the page's model by its adapter, and in Node by the files.
      await page.fill("#temperature", "0")
      await page.press("#prompt", "Enter")
      await stopped(page, "stop-writing")
      await using backend = await open("wasm")
      await using model = await OpenELM.load(await shippedModel(), { backend })
      await loadAdapter(model, folder)
      const { text: wanted } = await model.complete("Her mother")
      t.equal(await text(page, "text"), `Her mother${wanted}`)
      await page.uncheck("#tuned")
      await page.press("#prompt", "Enter")
      await stopped(page, "stop-writing")
      t.notMatch(await text(page, "text"), /all hands well/)
      t.same(complaints, [])
      await page.close()
    })

    await t.test("answers fetches of the page as a server would", async (t) => {
      const [page, complaints] = await pageOf(browser)
      await page.goto(url)
      await until(
        page,
        `!document.getElementById("ask").disabled && navigator.serviceWorker.controller`,
      )
      await page.fill("#prompt", prompt)
      await page.click("#ask")
      await until(page, `document.getElementById("asking").textContent === "Answered"`)
      t.ok((await text(page, "answer")).length > 20, await text(page, "answer"))
      const got = await page.evaluate(async (prompt) => {
        const post = (path: string, body: object, signal?: AbortSignal) =>
          fetch(path, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify(body),
            ...(signal && { signal }),
          })
        const models = await (await fetch("v1/models")).json()
        const asked = { model: "OpenELM-small", prompt, temperature: 0, max_tokens: 12 }
        const [one, two] = await Promise.all(
          [0, 1].map(async () => (await post("v1/completions", asked)).json()),
        )
        const wrong = await post("v1/completions", { ...asked, temperature: "hot" })
        const leaving = new AbortController()
        const long = { ...asked, max_tokens: 100, stream: true }
        const stream = await post("v1/completions", long, leaving.signal)
        await stream.body?.getReader().read()
        leaving.abort()
        return {
          model: models.data[0].id,
          texts: [one, two].map((answer) => answer.choices[0].text),
          status: wrong.status,
          after: (await (await post("v1/completions", asked)).json()).choices[0].text,
        }
      }, prompt)
      t.equal(got.model, "OpenELM-small")
      t.ok(want.startsWith(`${prompt}${got.texts[0]}`), got.texts[0])
      t.equal(got.texts[1], got.texts[0], "two at a time")
      t.equal(got.status, 400)
      t.equal(got.after, got.texts[0], "after one that has left")
      await keep(page, "endpoint")
      // What the browser says of the refused request is all that it complains of.
      t.same(
        complaints.filter((line) => !/400/.test(line)),
        [],
      )
      await page.close()
    })

    await t.test("is used by keyboard alone", async (t) => {
      const [page, complaints] = await pageOf(browser)
      await page.goto(url)
      const reached: unknown[] = []
      for (let i = 0; i < 5; i++) {
        await page.keyboard.press("Tab")
        reached.push(await page.evaluate("document.activeElement.id"))
      }
      t.same(reached, ["prompt", "backend", "temperature", "write", "train"])
      const ring = await page.evaluate(`getComputedStyle(document.activeElement).outlineStyle`)
      t.equal(ring, "solid", "the focus is seen")
      await page.keyboard.press("Enter")
      await until(page, `document.querySelector("#chart polyline")`)
      await page.keyboard.press("Tab")
      t.equal(await page.evaluate("document.activeElement.id"), "stop-training")
      await page.keyboard.press("Enter")
      await stopped(page, "stop-training")
      t.equal(await page.evaluate("document.activeElement.id"), "train", "the focus stays near")
      t.same(complaints, [])
      await page.close()
    })
  },
)
