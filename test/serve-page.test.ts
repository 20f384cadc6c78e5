// The page of a server as a browser shows it: a text that goes on, stop, errors; at a desk and on a phone.
import { join } from "node:path"
import { createService, listen, OpenELM, open, shippedModel } from "../index.ts"
import { launch, noWholeBrowser, pageOf } from "./chromium.ts"
import t from "./tap.ts"

/** Where pictures of the page go, for whoever wants to look at them. */
const { ELM_SCREENSHOTS: pictures } = process.env

t.test(
  "the page talks with the model",
  noWholeBrowser ? { skip: noWholeBrowser } : {},
  async (t) => {
    const backend = await open("wasm", { threads: 2 })
    const model = await OpenELM.load(await shippedModel(), { backend })
    const service = createService(model, { apiKeys: ["secret"] })
    const { url, close } = await listen(service, { port: 0 })
    const browser = await launch()
    t.teardown(async () => {
      await browser.close()
      await service.close()
      await close()
      await model.close()
      backend.close()
    })
    const sizes = { desk: { width: 1100, height: 760 }, phone: { width: 390, height: 760 } }
    for (const [size, viewport] of Object.entries(sizes)) {
      const colorScheme = size === "phone" ? "dark" : "light"
      const [page, complaints] = await pageOf(browser, { viewport, colorScheme })
      await page.goto(url)
      await page.locator("article.error").waitFor()
      t.match(await page.locator("article.error").textContent(), /API key is missing/)
      await page.fill("#key", "secret")
      await page.press("#key", "Tab")
      await page.locator("#model option").first().waitFor({ state: "attached" })
      await page.selectOption("#mode", "text")
      await page.fill("#temperature", "0")
      await page.fill("#most", "20")
      await page.fill("#text", "It is a truth")
      await page.press("#text", "Enter")
      await page.locator("article.assistant small").waitFor()
      const { text } = await model.complete("It is a truth", {
        maxNewTokens: 20,
        stop: [model.tokenizer?.eosId ?? -1],
      })
      t.equal(await page.locator("article.assistant p").textContent(), text)
      await page.fill("#most", "240")
      await page.fill("#text", "There was")
      await page.press("#text", "Enter")
      await page.waitForFunction(
        'document.querySelectorAll("article.assistant p")[1]?.textContent !== ""',
      )
      await page.press("#text", "Escape")
      await page.waitForFunction('document.getElementById("stop").disabled')
      const width = await page.evaluate("document.documentElement.scrollWidth")
      t.equal(width, viewport.width, "nothing is wider than the page")
      // The refusal of the first question is told of by the browser, too.
      t.same(
        complaints.filter((each) => !/401/.test(each)),
        [],
      )
      if (pictures) await page.screenshot({ path: join(pictures, `serve-${size}.png`) })
      await page.close()
    }
  },
)
