// Several processes that make a run together, joined by the system's MPI, for a program of one's own: what
// `joinRanks` gives is the option `ranks` of `train`, `tune` and `createPreferenceStep`. Only Node has it.
export type { ByteRange, Communicator } from "../train/parallel/communicator.ts"
export { joinRanks } from "./communicator.ts"
