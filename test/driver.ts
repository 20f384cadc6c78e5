// What the software GPU of these tests needs before it is opened, in this process and in those that it
// starts. Mesa compiles each shader for the processor, which is most of the work: without its
// optimizer, and for registers of 128 bits, that takes less than half as long.
process.env.GALLIVM_PERF ??= "nopt"
process.env.LP_NATIVE_VECTOR_WIDTH ??= "128"

const { ELM_REQUIRE_WEBGPU } = process.env

/** Why a test of a GPU or a browser waits for ELM_REQUIRE_WEBGPU=1: it is not in the small part that
 *  runs wherever there is a driver (the golden model, three training steps, an op of each family,
 *  one page). undefined: all of it runs. */
export const smallPart: string | undefined =
  ELM_REQUIRE_WEBGPU === "1" ? undefined : "runs with ELM_REQUIRE_WEBGPU=1"

/** Of a test that is in the whole part alone: others tell of its subject in less time. */
export const onlyInWhole = smallPart === undefined ? {} : { skip: smallPart }
