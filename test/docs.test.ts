// The JavaScript of the pages of docs/ runs as it stands.
import { pages, snippetsRun } from "./snippets.ts"
import t from "./tap.ts"

snippetsRun(t, pages.slice(1))
