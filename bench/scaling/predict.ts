// What training on N nodes like this one would come to: seconds of an update from what this machine computes and
// what its network carries. A prediction, and its formulas (docs/bench.md has them in words).

import { gatheredBytes } from "../../train/parallel/gather.ts"
import type { Sharding } from "../../train/step/options.ts"

export const shardings = ["none", "state", "full"] as const satisfies readonly Sharding[]

/** What joins the nodes. */
export interface Network {
  /** Seconds of a call that carries nothing. */
  readonly latency: number
  /** Bytes per second that a node sends while it receives as many. */
  readonly bandwidth: number
}

/** What a node does by itself. */
export interface Node {
  /** Floating-point operations per second of forward and backward. */
  readonly flopsPerSecond: number
  /** Part of their time that is the forward's. */
  readonly forwardPart: number
  /** Numbers per second that the optimizer moves. */
  readonly movedPerSecond: number
  /** Bytes of gradients per second that are packed, unpacked and added up. */
  readonly summedPerSecond: number
  /** Bytes per second that are taken from memory and put where all have them. */
  readonly gatheredPerSecond: number
}

/** What is trained, by how much at a time. */
interface Trained {
  /** Numbers of the weights that move. */
  readonly parameters: number
  readonly weightBytes: number
  readonly layers: number
  /** Of forward and backward of a micro-batch. */
  readonly flops: number
  /** Positions of a micro-batch. */
  readonly tokens: number
  /** Micro-batches of an update, of each node. */
  readonly rounds: number
}

/** Seconds of an update by what they go to, on one of the nodes. */
export interface UpdateTime {
  readonly forward: number
  readonly backward: number
  readonly update: number
  /** What the node itself does with bytes for others, and from them. */
  readonly copying: number
  /** What the network takes, beyond what is hidden behind the backward pass. */
  readonly network: number
  /** What it takes in all, hidden or not. */
  readonly carried: number
  readonly total: number
  /** Bytes that a node sends, and receives. */
  readonly bytes: number
}

const numberBytes = 4

/** Seconds of an update of `size` nodes. */
export function updateTime(
  task: Trained,
  node: Node,
  network: Network,
  { size, shard }: { readonly size: number; readonly shard: Sharding },
): UpdateTime {
  const { parameters, rounds, weightBytes, layers } = task
  const pass = task.flops / node.flopsPerSecond
  const [forward, backward] = [pass * node.forwardPart, pass * (1 - node.forwardPart)]
  const own = shard === "none" ? parameters : parameters / size
  const update = own / node.movedPerSecond
  const alone = { forward: rounds * forward, backward: rounds * backward, update }
  if (size === 1) return withTotal({ ...alone, copying: 0, network: 0, carried: 0, bytes: 0 })
  const gradients = parameters * numberBytes
  // Of all that is exchanged a node has its own part already.
  const sent = (bytes: number): number => (bytes * (size - 1)) / size
  const wire = (bytes: number, calls: number): number =>
    calls * network.latency + sent(bytes) / network.bandwidth
  // A call for each layer, and for what is outside of them.
  const exchange = wire(gradients, layers + 2)
  const gather = wire(weightBytes, layers + 2)
  const last = exchange / (layers + 2)
  const isFull = shard === "full"
  // Weights are on their way while the layer before them is computed. So are gradients while the one after them is,
  // but for the last; where weights are, gradients wait for them.
  const inForward = isFull ? exposed(gather, forward) : 0
  const inBackward = isFull
    ? exposed(gather, backward) + exchange
    : exposed(exchange, backward) + last
  const end = shard === "none" ? gradients : isFull ? 0 : weightBytes
  const ending = end > 0 ? wire(end, Math.ceil(end / gatheredBytes)) : 0
  const gathered = rounds * (isFull ? 2 * weightBytes : 0) + end
  return withTotal({
    ...alone,
    copying: (rounds * gradients) / node.summedPerSecond + gathered / node.gatheredPerSecond,
    network: rounds * (inForward + inBackward) + ending,
    carried: rounds * (exchange + (isFull ? 2 * gather : 0)) + ending,
    bytes: sent(rounds * gradients + gathered),
  })
}

/** What is left of a time that passes while something else is done. */
const exposed = (time: number, beside: number): number => Math.max(0, time - beside)

function withTotal(parts: Omit<UpdateTime, "total">): UpdateTime {
  const { forward, backward, update, copying, network } = parts
  return { ...parts, total: forward + backward + update + copying + network }
}
