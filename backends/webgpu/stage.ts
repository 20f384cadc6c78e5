// Copies bytes between two buffers at any offsets, with a shader, so that it can stand between two
// steps of one pass: for tensors that do not lie where a binding may begin, or that overlap what
// the same step writes.
import type { Argument } from "./prelude.ts"

/** Bindings of the shader below. */
export const stageArguments: readonly Argument[] = [
  { name: "source", dtype: "u8", writable: false },
  { name: "copy", dtype: "u8", writable: true },
]

/** Words that one workgroup writes. */
export const stageWords = 1024

export const stageCode = `
struct Parameters { FromByte: u32, ToByte: u32, Bytes: u32 }
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> copy: array<u32>;
@group(0) @binding(2) var<uniform> param: Parameters;

@compute @workgroup_size(256)
fn stage(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let last = param.ToByte + param.Bytes;
  let start = (group.x + group.y * 65535u) * ${stageWords}u;
  for (var i = start + lane; i < start + ${stageWords}u; i += 256u) {
    if (4u * i + 4u <= param.ToByte || 4u * i >= last) { continue; }
    var word = copy[i];
    for (var b = 4u * i; b < 4u * i + 4u; b++) {
      if (b < param.ToByte || b >= last) { continue; }
      let at = b - param.ToByte + param.FromByte;
      let byte = (source[at >> 2u] >> (8u * (at & 3u))) & 255u;
      let shift = 8u * (b & 3u);
      word = (word & ~(255u << shift)) | (byte << shift);
    }
    copy[i] = word;
  }
}
`
