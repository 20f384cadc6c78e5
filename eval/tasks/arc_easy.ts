// ARC's Easy set: the questions of science that are not in its Challenge set.  arXiv 1803.05457
import { arc } from "./arc.ts"

export const arcEasy = arc("arc_easy", "ARC-Easy", { train: 2251, test: 2376 })
