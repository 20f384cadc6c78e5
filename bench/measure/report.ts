// What a long measurement says while it works.

/** Says what is being done, and how far it is. */
export type Report = (text: string, fraction?: number) => void

/** For whatever may take a model from the hub: says what is downloaded. */
export const downloading = (report: Report) => ({
  onDownload: (file: string, bytes: number, total: number): void =>
    report(`downloading ${file}`, bytes / total),
})
