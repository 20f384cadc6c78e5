// A folder at an http or https URL. What it lacks shows by its answers alone, which differ: 404, a page
// of status 200, or, of servers that list nothing, such as S3, the status of what may not be read.
import { ask, leave, type Waiting } from "./http.ts"
import { likeOf } from "./kinds.ts"
import { openRemote, openRequired } from "./remote.ts"
import { checkFileName, type FileTree } from "./tree.ts"

export const isRemote = (path: string): boolean => /^https?:\/\//i.test(path)

/** The files at a URL of a folder, or of one file in it; a query, such as that of a signed URL,
 *  stays. */
export function httpTree(given: string, isFile: boolean, waiting: Waiting = {}): FileTree {
  const { folder, file } = isFile ? parted(given) : { folder: given, file: undefined }
  const nameOf = (name: string): string => {
    checkFileName(name)
    return name === file ? given : urlIn(folder, name)
  }
  const lack = lackOf(() => nameOf(nobodysName), waiting)
  const openIfThere = async (name: string, limit?: number) => {
    const url = nameOf(name)
    const isLack = lack.isStatus
    const found = await openRemote(url, { ...waiting, limit, isLike: likeOf(url), isLack })
    if (found) lack.readOne()
    return found
  }
  return {
    name: folder,
    file,
    get remark() {
      return lack.remark()
    },
    nameOf,
    openIfThere,
    async has(name) {
      const found = await openIfThere(name)
      await found?.close()
      return found !== undefined
    },
    async open(name, limit) {
      const found = await openRequired(nameOf(name), { ...waiting, limit })
      lack.readOne()
      return found
    },
  }
}

/** The URL of a file in a folder. */
function urlIn(folder: string, name: string): string {
  const url = new URL(folder)
  const path = name.split("/").map(encodeURIComponent).join("/")
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${path}`
  return url.href
}

/** The URL of a file as that of its folder, and its name there. */
function parted(given: string): { folder: string; file: string } {
  const url = new URL(given)
  const at = url.pathname.lastIndexOf("/")
  const file = url.pathname.slice(at + 1)
  url.pathname = url.pathname.slice(0, at)
  return { folder: url.href, file }
}

/** No file of this name is in any folder. */
const nobodysName = "openelm-asks-for-what-is-not-there"

/** Which status a server has for what it lacks, where that is none of 404 and 410. Safe to say only of
 *  one that has given another file of the folder: then it does read for us, and what it refuses as it
 *  refuses a name that is nobody's is missing, or as good as that. */
function lackOf(nobodys: () => string, waiting: Waiting) {
  let hasRead = false
  let asked: Promise<number> | undefined
  let seen: number | undefined
  const statusOfNothing = (): Promise<number> =>
    ask(nobodys(), { range: "bytes=0-0" }, waiting, async (response) => {
      await leave(response)
      return { result: response.status }
    })
  return {
    readOne(): void {
      hasRead = true
    },
    async isStatus(status: number): Promise<boolean> {
      if (!hasRead) return false
      asked ??= statusOfNothing()
      if ((await asked) !== status) return false
      seen = status
      return true
    },
    remark: (): string | undefined =>
      seen === undefined
        ? undefined
        : `The server answers with status ${seen} for what is missing and for what may not be read`,
  }
}
