// Opens a GPU: the browser's own, or Dawn's through the package `webgpu` in Node. Which optional
// features are used is chosen here, once.
import { isNode } from "../../engine/node.ts"
import { type Feature, features, type WebgpuOptions } from "./options.ts"
import { mayFindDriver } from "./vulkan.ts"

/** Where the GPU calls a feature by another name. */
const otherNames: Readonly<Partial<Record<Feature, string>>> = {
  "subgroup-matrix": "chromium-experimental-subgroup-matrix",
}

/** Those that are part of the language of shaders, not of the device. */
const ofLanguage: Readonly<Partial<Record<Feature, string>>> = {
  "packed-dot": "packed_4x8_integer_dot_product",
}

/** How a GPU is opened. */
export interface OpenDevice {
  readonly device: GPUDevice
  /** The optional features in use. */
  readonly features: ReadonlySet<Feature>
  /** Those of them that are to be tried first, and left off where they compute wrong. */
  readonly tried: readonly Feature[]
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

// Dawn's instances, by driver: they have to outlive every device that comes from them.
const dawn = new Map<string | undefined, GPU>()

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
  const gpu = await findGpu(options.driver)
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" })
  if (!adapter) throw new Error(isNode ? noAdapter : noAdapterInPage)
  const wanted = features.filter((name) => isIn(gpu, adapter, name) && !without.includes(name))
  const limits = raised.map((name) => [name, adapter.limits[name]])
  const device = await adapter.requestDevice({
    requiredFeatures: wanted
      .filter((name) => !ofLanguage[name])
      .map((name) => (otherNames[name] ?? name) as GPUFeatureName),
    requiredLimits: Object.fromEntries(limits),
  })
  const { vendor, architecture, device: model, description } = adapter.info
  const names = [description || [vendor, architecture, model].filter(Boolean).join(" ")]
  const most = Math.min(bindingBytes, device.limits.maxStorageBufferBindingSize)
  return {
    device,
    features: new Set(wanted),
    tried: options.driver ? [] : wanted.filter((name) => isTried(name, gpu, vendor)),
    bindingBytes: most - (most % 256),
    description: names[0] || "an unnamed GPU",
  }
}

function isIn(gpu: GPU, adapter: GPUAdapter, name: Feature): boolean {
  const word = ofLanguage[name]
  if (word) return gpu.wgslLanguageFeatures.has(word)
  if (!adapter.features.has(otherNames[name] ?? name)) return false
  return name !== "subgroup-matrix" || gpu === dawn.get("null") || hasMatrices(adapter.info)
}

/** Whether nobody vouches for it: an experiment, or f16 where Dawn was told to allow it. */
function isTried(name: Feature, gpu: GPU, vendor: string): boolean {
  const isAllowed = vendor === "nvidia" && [...dawn.values()].includes(gpu)
  return name === "subgroup-matrix" || (name === "shader-f16" && isAllowed)
}

/** What a GPU says of the matrices that it multiplies. */
interface MatrixInfo extends GPUAdapterInfo {
  readonly subgroupMatrixConfigs?: Iterable<Readonly<Record<string, string | number>>>
}

/** Whether it multiplies matrices of 16 by 16 in f16 into f32, by subgroups of 32 lanes. */
function hasMatrices(info: MatrixInfo): boolean {
  if (info.subgroupMinSize !== 32 || info.subgroupMaxSize !== 32) return false
  return [...(info.subgroupMatrixConfigs ?? [])].some(
    ({ M, N, K, componentType, resultComponentType }) =>
      [M, N, K].every((n) => n === 16) && componentType === "f16" && resultComponentType === "f32",
  )
}

async function findGpu(driver: "null" | undefined): Promise<GPU> {
  if (driver === undefined && typeof navigator !== "undefined" && navigator.gpu) {
    return navigator.gpu
  }
  if (typeof process === "undefined" || process.versions?.node === undefined) {
    throw new Error(
      "Cannot open webgpu: this browser has no WebGPU here. It needs a recent browser and a page " +
        'served by https or from localhost; or use "wasm"',
    )
  }
  const known = dawn.get(driver)
  if (known) return known
  // Experimental features are among the unsafe ones. Times in steps of 0.1 ms, as pages get them, tell
  // nothing of a dispatch. Dawn leaves it to its users whether f16 computes right on NVIDIA's GPUs.
  const flags = [
    "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia",
    "disable-dawn-features=timestamp_quantization",
  ]
  const { create } = await loadDawn()
  if (driver === undefined && !(await mayFindDriver())) throw new Error(noAdapter)
  const made = create(driver ? [...flags, `backend=${driver}`] : flags)
  dawn.set(driver, made)
  return made
}

async function loadDawn(): Promise<{ create(flags: string[]): GPU }> {
  // Not a literal, so that no bundler takes the package into a page.
  const name: string = "webgpu"
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ name)
  } catch (cause) {
    throw new Error(
      "Cannot open webgpu: the package webgpu is not installed or does not load. " +
        "Add it by: npm install webgpu",
      { cause },
    )
  }
}

const noAdapterInPage =
  "Cannot open webgpu: this browser has no GPU that it lets pages use. Its own page about the GPU " +
  '(chrome://gpu, about:support) says why; or use "wasm"'

const noAdapter =
  "Cannot open webgpu: no adapter. Install a Vulkan driver " +
  "(Debian: mesa-vulkan-drivers of 2024 or later, from backports on Debian 12; Fedora: " +
  "mesa-vulkan-drivers; macOS and Windows: a system that still gets updates) " +
  "or use --backend wasm"
