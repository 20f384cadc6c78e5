// What test/hub-page.test.ts runs inside of a page. Nothing here may need Node.
import { OpenELM, open } from "../index.ts"

/** What a page makes of a repository of a hub, and what it is told of the downloads; or its error. */
export async function loadedFromHub(name: string, endpoint: string, token?: string) {
  const backend = await open("js")
  const downloads: [file: string, bytes: number, total: number][] = []
  const onDownload = (...told: [string, number, number]): unknown => downloads.push(told)
  try {
    const given = { endpoint, onDownload, ...(token === undefined ? {} : { token }) }
    const { parameters, tokenizer } = await OpenELM.load(name, { backend, ...given })
    return { parameters, tokenizer: tokenizer?.file.name, downloads }
  } catch (error) {
    return { error: (error as Error).message, downloads }
  } finally {
    backend.close()
  }
}
