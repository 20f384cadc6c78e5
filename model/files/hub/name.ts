// Names of repositories of a hub, as people write them: apple/OpenELM-270M, with a revision behind "@",
// with "hf:" before it where a folder might be meant, and then of a single file too.
import { show } from "../../json.ts"

/** A repository, or one file of it, as of a revision. */
export interface HubName {
  /** ORG/NAME. */
  readonly repository: string
  /** A branch, a tag, a reference such as refs/pr/1, or a commit. */
  readonly revision: string
  readonly file: string | undefined
  /** Of what is no model. */
  readonly kind?: "datasets"
}

/** Where a repository's page is below the hub's address. */
export const pagePath = ({ kind, repository }: Pick<HubName, "kind" | "repository">): string =>
  kind === undefined ? repository : `${kind}/${repository}`

const part = "[A-Za-z0-9](?:[\\w.-]*[A-Za-z0-9_-])?"
const form = new RegExp(`^(${part}/${part})(/[^@]+)?(?:@([\\w./-]+))?$`)

/** Whether a text says itself that it is such a name. */
export const isHubText = (text: string): boolean => /^hf:/i.test(text)

/** The name that a text is; undefined for none. Without "hf:" it has no file. Throws RangeError for what
 *  begins with "hf:" and is none. */
export function hubNameOf(text: string): HubName | undefined {
  const isSaid = isHubText(text)
  const [, repository, file, revision = "main"] = form.exec(isSaid ? text.slice(3) : text) ?? []
  const isName =
    repository !== undefined &&
    repository.length <= 96 &&
    !/--|\.\./.test(repository) &&
    !revision.split("/").some((step) => step === "" || /^\.\.?$/.test(step)) &&
    (file === undefined || isSaid)
  if (isName) return { repository, revision, file: file?.slice(1) }
  if (!isSaid) return undefined
  const expected = "hf:ORG/NAME, hf:ORG/NAME@REVISION or hf:ORG/NAME/FILE"
  throw new RangeError(`${show(text)} is no name of a hub's repository: ${expected}`)
}

/** Whether a revision is a whole commit, which never changes. */
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision)

/** The name as it is written, for messages. */
export const hubText = ({ repository, revision }: Omit<HubName, "file">): string =>
  revision === "main" ? repository : `${repository}@${revision}`
