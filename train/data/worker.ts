// A thread that makes one worker's samples and stays a few batches ahead of who reads them.
import { fromNode } from "../../engine/node.ts"
import { parseTokenizer } from "../../model/tokenizer/index.ts"
import {
  batchesAhead,
  batchSize,
  buffersOf,
  type LaneMessage,
  type LaneStart,
  samplesOfShare,
} from "./lanes.ts"
import type { Placed } from "./samples.ts"

const { parentPort, workerData } = fromNode("node:worker_threads")
if (!parentPort) throw new Error("a data worker is started by textPipeline only")
const port = parentPort
const { config, tokenizer: file, share, from } = workerData as LaneStart

let allowed = batchesAhead
let wake = (): void => {}
port.on("message", () => {
  allowed++
  wake()
})

const send = (message: LaneMessage, handedOver: ArrayBuffer[] = []): void =>
  port.postMessage(message, handedOver)

async function sendBatch(batch: readonly Placed[]): Promise<void> {
  while (allowed === 0) {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  allowed--
  send({ kind: "samples", batch }, buffersOf(batch))
}

const batch: Placed[] = []

async function makeAll(): Promise<void> {
  const tokenizer = parseTokenizer(file.bytes, file.name)
  const skip = (message: string): void => send({ kind: "skip", message })
  for await (const placed of samplesOfShare({
    config,
    tokenizer,
    share: { ...share, skip },
    from,
  })) {
    batch.push(placed)
    if (batch.length === batchSize(config)) await sendBatch(batch.splice(0))
  }
}

let last: LaneMessage = { kind: "end" }
try {
  await makeAll()
} catch (error) {
  last = { kind: "error", error: error instanceof Error ? error : new Error(String(error)) }
}
// What was made before an error is still good.
if (batch.length > 0) await sendBatch(batch)
send(last)
port.close()
