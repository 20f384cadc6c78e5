// ARC's Challenge set: questions of science that retrieval and co-occurrence got wrong.  arXiv 1803.05457
import { arc } from "./arc.ts"

export const arcChallenge = arc("arc_challenge", "ARC-Challenge", { train: 1119, test: 1172 })
