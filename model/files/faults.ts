// What goes wrong with files, in words: the system's own names of errors and calls say nothing to who
// has only typed a path.

const words: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  ENOTDIR: "a part of the path is a file, not a folder",
  EISDIR: "it is a folder",
  EEXIST: "it is there already",
  EACCES: "it may not be read or written by this user",
  EPERM: "the system does not permit it",
  EROFS: "the disk is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "this user's part of the disk is full",
  EFBIG: "the file would be too large",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "its links lead in a circle",
  ENOTEMPTY: "the folder is not empty",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open",
  EBUSY: "it is in use",
  EIO: "the disk does not answer",
  ENXIO: "there is no such device",
  ENODEV: "there is no such device",
  EINVAL: "it does not allow that",
}

/** Why a file could not be read or written; the message itself where the system did not say it. */
export function faultText(error: unknown): string {
  const { code = "", message } = error as Error & { code?: string }
  return words[code] ?? message
}

/** An error of the system as one message with the path; undefined for other errors. */
export function systemFault(error: unknown): string | undefined {
  const { code = "", path, syscall } = error as NodeJS.ErrnoException
  if (syscall === undefined || words[code] === undefined) return undefined
  const act = /^(open|scandir|read|[lf]?stat)/.test(syscall) ? "open" : "write"
  return path === undefined ? words[code] : `Cannot ${act} ${path}: ${words[code]}. Check the path`
}
