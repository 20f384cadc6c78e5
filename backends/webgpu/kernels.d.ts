// Made by build/shaders.ts.
export declare const kernels: Readonly<
  Record<
    string,
    {
      readonly entry: string
      readonly code: string
      readonly groups?: (params: Readonly<Record<string, number>>) => number
    }
  >
>
