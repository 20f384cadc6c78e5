// Opens a GPU: the browser's own, or Dawn's through the package `webgpu` in Node. Which optional
// features are used is chosen here, once.

export const features = ["shader-f16", "subgroups", "timestamp-query"] as const
export type Feature = (typeof features)[number]

export interface WebgpuOptions {
  /** Optional features to leave off although the GPU has them. */
  readonly without?: readonly Feature[]
  /** Most bytes that a kernel gets in one piece; default what the GPU allows. Larger tensors are
   *  bound in several. */
  readonly bindingBytes?: number
}

export interface OpenDevice {
  readonly device: GPUDevice
  /** The optional features in use. */
  readonly features: ReadonlySet<Feature>
  /** Most bytes of one binding: a multiple of 256. */
  readonly bindingBytes: number
  /** What the GPU calls itself. */
  readonly description: string
}

/** Limits that are raised to what the adapter has; the rest stay at the specification's minimum. */
const raised = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
] as const

// Dawn's instance has to outlive every device that comes from it.
let dawn: GPU | undefined

/** Opens a device of its own. Throws RangeError for an unknown feature, Error where there is no GPU. */
export async function openDevice(options: WebgpuOptions): Promise<OpenDevice> {
  const { without = [], bindingBytes = Number.POSITIVE_INFINITY } = options
  if (!(bindingBytes >= 256)) {
    throw new RangeError(`webgpu: bindingBytes must be at least 256, got ${bindingBytes}`)
  }
  const unknown = without.find((name) => !features.includes(name))
  if (unknown !== undefined) {
    throw new RangeError(
      `webgpu: without lists ${JSON.stringify(unknown)}. There are: ${features.join(", ")}`,
    )
  }
  const gpu = await findGpu()
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" })
  if (!adapter) throw new Error(noAdapter)
  const wanted = features.filter((name) => adapter.features.has(name) && !without.includes(name))
  const limits = raised.map((name) => [name, adapter.limits[name]])
  const device = await adapter.requestDevice({
    requiredFeatures: wanted,
    requiredLimits: Object.fromEntries(limits),
  })
  const { vendor, architecture, device: model, description } = adapter.info
  const names = [description || [vendor, architecture, model].filter(Boolean).join(" ")]
  const most = Math.min(bindingBytes, device.limits.maxStorageBufferBindingSize)
  return {
    device,
    features: new Set(wanted),
    bindingBytes: most - (most % 256),
    description: names[0] || "an unnamed GPU",
  }
}

async function findGpu(): Promise<GPU> {
  if (typeof navigator !== "undefined" && navigator.gpu) return navigator.gpu
  if (typeof process === "undefined" || process.versions?.node === undefined) {
    throw new Error(
      "Cannot open webgpu: this browser has no WebGPU here. It needs a recent browser and a page " +
        'served by https or from localhost; or use "wasm"',
    )
  }
  dawn ??= (await loadDawn()).create([])
  return dawn
}

async function loadDawn(): Promise<{ create(flags: string[]): GPU }> {
  // Not a literal, so that no bundler takes the package into a page.
  const name: string = "webgpu"
  try {
    return await import(name)
  } catch (cause) {
    throw new Error(
      "Cannot open webgpu: the package webgpu is not installed or does not load. " +
        "Add it by: npm install webgpu",
      { cause },
    )
  }
}

const noAdapter =
  "Cannot open webgpu: no adapter. Install a Vulkan driver " +
  "(Debian: mesa-vulkan-drivers of 2024 or later, from backports on Debian 12; Fedora: " +
  "mesa-vulkan-drivers; macOS and Windows: a system that still gets updates) " +
  "or use --backend wasm"
