// Made by build/kernels.ts.
export declare const kernels: readonly string[]
export declare const base64: string
