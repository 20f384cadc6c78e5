// Launchers of MPI, where they are installed, and what they begin.
import { spawn, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { at, type Ended, elm, ended } from "./runs.ts"

/** Why there are no runs with an MPI here. With ELM_REQUIRE_MPI=1 they fail instead. */
export const without = (program: string, packages: string): string | undefined => {
  const { error } = spawnSync(program, ["--version"])
  if (!error || process.env.ELM_REQUIRE_MPI === "1") return undefined
  return `there is no ${program}: apt-get install ${packages}`
}
export const noOpenMpi = without("mpirun.openmpi", "openmpi-bin libopenmpi3")
export const noMpich = without("mpirun.mpich", "mpich")

/** Open MPI would rather not be run by root, nor with more processes than cores. */
export const environment = {
  ...process.env,
  ...{ OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" },
  ELM_MPIRUN: "mpirun.openmpi",
}
export const ofOpenMpi = ["mpirun.openmpi", "--oversubscribe"]
export const ofMpich = ["mpirun.mpich"]

/** What so many processes of `elm` come to. */
export function mpirun(
  launcher: readonly string[],
  size: number,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const [program = "", ...options] = launcher
  const all = [...options, "-n", String(size), process.execPath, elm, ...args]
  return ended(spawn(program, all, { cwd: at(), env: { ...environment, ...more } }))
}

/** Processes that a process has begun. */
export const childrenOf = (pid: number | undefined): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number)
