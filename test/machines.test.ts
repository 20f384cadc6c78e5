// The files that docs/machines.md shows are well formed, what they call `elm train` with are its flags, and its
// program runs.
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parse } from "yaml"
import { elmProgram } from "../cli/program.ts"
import { environment, noOpenMpi, ofOpenMpi } from "./launchers.ts"
import { at, ended, weights } from "./runs.ts"
import t from "./tap.ts"

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
  const begun = inLanguage("sh").find((text) => text.includes("--hostfile"))
  const [, hosts = ""] = /^printf '(.*)\\n' > hosts\b/m.exec(begun ?? "") ?? []
  const slots = hosts
    .split("\\n")
    .map((line) => Number(/^[a-z][\w.-]* slots=(\d+)$/.exec(line)?.[1]))
  t.equal(
    slots.reduce((a, b) => a + b, 0),
    Number(/--hostfile .* -n (\d+) /.exec(begun ?? "")?.[1]),
  )
  t.end()
})

t.test(
  "the program is one run, whether processes make it or one",
  { skip: noOpenMpi },
  async (t) => {
    const [code = ""] = inLanguage("js")
    mkdirSync(at("node_modules"))
    symlinkSync(
      fileURLToPath(new URL("../..", import.meta.url)),
      at("node_modules", "openelm"),
      "dir",
    )
    writeFileSync(at("package.json"), '{ "type": "module" }')
    const programOf = (out: string): string => {
      const own = code.replace("my.txt", "text.txt").replace("my-program-run", out)
      writeFileSync(at(`${out}.js`), own)
      return at(`${out}.js`)
    }
    const [program = "", ...options] = ofOpenMpi
    const where = { cwd: at(), env: environment }
    const [one, two] = await Promise.all([
      ended(spawn(process.execPath, [programOf("one")], where)),
      ended(spawn(program, [...options, "-n", "2", process.execPath, programOf("two")], where)),
    ])
    for (const { code, stderr } of [one, two]) t.equal(code, 0, stderr)
    t.match(two.stdout, /^two\/step-00000004\r?\n$/, "the first rank alone prints")
    t.same(weights(at("two", "step-00000004")), weights(at("one", "step-00000004")))
  },
)
