// The files that docs/machines.md shows are well formed, and what they call `elm train` with are its flags.
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import t from "tap"
import { parse } from "yaml"
import { elmProgram } from "../cli/program.ts"

const page = readFileSync(new URL("../../docs/machines.md", import.meta.url), "utf8")
const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
const inLanguage = (language: string): string[] =>
  blocks.flatMap(([, name, text = ""]) => (name === language ? text : []))

/** Options of each `elm train` of a text, its lines joined where they go on. */
const givenTo = (text: string): string[] =>
  text
    .replaceAll("\\\n", " ")
    .split("\n")
    .flatMap((line) => /\belm train\b([^#]*)/.exec(line)?.[1] ?? [])
    .flatMap((rest) => rest.match(/--[a-z-]+/g) ?? [])

t.test("flags of elm train are those that it has", (t) => {
  const train = elmProgram("0").commands.find((each) => each.name() === "train")
  const known = train?.options.map(({ long }) => long) ?? []
  const [job = ""] = inLanguage("yaml")
  const { Launcher } = parse(job).spec.mpiReplicaSpecs
  const [{ command, args }] = Launcher.template.spec.containers
  const inJob = [...command, ...args].join(" ")
  const texts = [...inLanguage("sh"), ...inLanguage("bash"), inJob]
  const given = texts.flatMap(givenTo)
  t.ok(given.length > 15, `${given.length} flags`)
  for (const flag of given) t.ok(known.includes(flag), flag)
  const named = [...page.matchAll(/`(--[a-z-]+)/g)].map(([, flag]) => flag)
  for (const flag of named) t.ok(known.includes(flag), `the text's ${flag}`)
  t.end()
})

t.test("the job of Slurm is a script of bash, with options of sbatch", (t) => {
  const [script = ""] = inLanguage("bash")
  const { status, stderr } = spawnSync("bash", ["-n"], { input: script, encoding: "utf8" })
  t.equal(status, 0, stderr)
  const options = [...script.matchAll(/^#SBATCH --([a-z-]+)(?:=(\S+))?$/gm)]
  t.equal(options.length, script.split("#SBATCH").length - 1)
  const known = "job-name nodes ntasks-per-node cpus-per-task time requeue signal".split(" ")
  for (const [, name = ""] of options) t.ok(known.includes(name), name)
  t.match(options.find(([, name]) => name === "signal")?.[2], /^USR2@\d+$/)
  t.end()
})

t.test("the job of Kubernetes has what the MPI operator asks of one", (t) => {
  const [text = ""] = inLanguage("yaml")
  const job = parse(text)
  t.match(job, { apiVersion: "kubeflow.org/v2beta1", kind: "MPIJob", metadata: { name: String } })
  const { slotsPerWorker, runPolicy, mpiReplicaSpecs } = job.spec
  t.match(runPolicy, { cleanPodPolicy: /^(Running|All|None)$/, backoffLimit: Number })
  const { Launcher, Worker } = mpiReplicaSpecs
  for (const { template } of [Launcher, Worker]) {
    t.match(template.spec.containers, [{ name: String, image: String }])
  }
  const { command } = Launcher.template.spec.containers[0]
  const ranks = Number(command[command.indexOf("-n") + 1])
  t.equal(ranks, slotsPerWorker * Worker.replicas, "as many processes as slots")
  const { volumes, containers } = Worker.template.spec
  t.equal(containers[0].volumeMounts[0].name, volumes[0].name)
  t.end()
})

t.test("the list of hosts has slots, as many as its command begins", (t) => {
  const [hosts = ""] = inLanguage("hostfile")
  const slots = hosts
    .trim()
    .split("\n")
    .map((line) => Number(/^[a-z][\w.-]* slots=(\d+)$/.exec(line)?.[1]))
  const begun = inLanguage("sh").find((text) => text.includes("--hostfile"))
  t.equal(
    slots.reduce((a, b) => a + b, 0),
    Number(/ -n (\d+) /.exec(begun ?? "")?.[1]),
  )
  t.end()
})
