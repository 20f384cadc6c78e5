// POST /v1/embeddings: texts as vectors.
import * as v from "valibot"
import { whole } from "../model/schema.ts"
import type { Call } from "./call.ts"
import { usageOf } from "./choices.ts"
import { invalid } from "./errors.ts"
import { common, parsed, promptField, promptsIn } from "./fields.ts"

const schema = v.strictObject({
  model: common.model,
  user: common.user,
  input: promptField,
  encoding_format: v.optional(v.picklist(["float", "base64"], '"float" or "base64"')),
  dimensions: v.optional(whole(1)),
})

const mostInputs = 2048

export async function embeddings(call: Call): Promise<Response> {
  const { input, encoding_format = "float", dimensions } = parsed(schema, call.body)
  const texts = promptsIn(input)
  if (texts.length === 0 || texts.length > mostInputs) {
    throw invalid(
      "input",
      `has ${texts.length} texts, expected 1 to ${mostInputs}`,
      "invalid_value",
    )
  }
  const { signal } = call
  const { vectors, ids } = await call.serving.embed(texts, { normalize: true, signal })
  const width = vectors[0]?.length ?? 0
  if (dimensions !== undefined && dimensions !== width) {
    throw invalid(
      "dimensions",
      `is ${dimensions}, and the model's vectors have ${width}`,
      "invalid_value",
    )
  }
  const written = (x: Float32Array): string | number[] =>
    encoding_format === "float"
      ? [...x]
      : base64(new Uint8Array(x.buffer, x.byteOffset, x.byteLength))
  return Response.json({
    object: "list",
    data: vectors.map((x, index) => ({ object: "embedding", index, embedding: written(x) })),
    model: call.model,
    usage: { ...usageOf(ids, 0), completion_tokens: undefined },
  })
}

function base64(bytes: Uint8Array): string {
  let text = ""
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}
