// `elm chat` from outside: the answers and nothing else on the standard output, what is new alone read each
// turn, Ctrl-C.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { loadTokenizer } from "../index.ts"
import { elm } from "./command.ts"
import { writeSmallModel } from "./small_folder.ts"
import t from "./tap.ts"

const dir = join(t.testdir({ small: {} }), "small")
await writeSmallModel(dir)

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (...args: string[]): ChildProcess =>
  spawn(process.execPath, [elm, "chat", "--model", dir, "--threads", "1", ...args])

function ended(child: ChildProcess, input?: string): Promise<Ended> {
  const output = { stdout: "", stderr: "" }
  child.stdout?.setEncoding("utf8").on("data", (text) => (output.stdout += text))
  child.stderr?.setEncoding("utf8").on("data", (text) => (output.stderr += text))
  if (input !== undefined) child.stdin?.end(input)
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...output })))
}

const messagesIn = (path: string) => JSON.parse(readFileSync(path, "utf8")).messages

t.test("a conversation by lines: acts, answers, positions read", async (t) => {
  const [first, second] = [join(dir, "first.json"), join(dir, "second.json")]
  const lines = ["/system Be brief.", "Hello", `/save ${first}`, "And two\\", "lines", ""]
  const acts = [
    `/save ${second}`,
    "/reset",
    "/system",
    `/load ${first}`,
    "/help",
    "/exit",
    "unread",
  ]
  const flags = ["--max-new-tokens", "9", "--temperature", "0"]
  const { code, stdout, stderr } = await ended(start(...flags), [...lines, ...acts].join("\n"))
  t.equal(code, 0, stderr)
  const all = messagesIn(second)
  t.same(
    all.map(({ role }: { role: string }) => role),
    ["system", "user", "assistant", "user", "assistant"],
  )
  t.same(messagesIn(first), all.slice(0, 3))
  t.equal(all[3].content, "And two\nlines")
  t.equal(stdout, `${all[2].content}\n${all[4].content}\n`)
  const byte = await loadTokenizer("byte")
  const count = (text: string): number => byte.encode(text, { special: true }).length
  const opening = "<|system|>\nBe brief.</s>\n<|user|>\nHello</s>\n<|assistant|>\n"
  const more = "</s>\n<|user|>\nAnd two\nlines</s>\n<|assistant|>\n"
  const ends = Number(/, (\d+) tokens/.exec(stderr)?.[1])
  t.equal(ends, 18, "no answer ended by itself")
  const positions = 1 + count(opening) + 8 + 1 + count(more) + 8
  t.match(stderr, `1 answers, 18 tokens, ${positions} positions read; seed `)
  t.match(stderr, /small has no chat template/)
  t.match(stderr, /Begun again\nBe brief\.\n3 messages of .*first\.json\n\/reset/)
})

t.test("what fails is said, changes nothing, and is the exit code of lines", async (t) => {
  const bad = join(dir, "bad.json")
  writeFileSync(bad, '{ "messages": [{ "role": 3 }] }')
  const refusing = join(dir, "refusing.jinja")
  writeFileSync(refusing, "{{ raise_exception('not now') }}")
  const out = join(dir, "none.json")
  const input = ["/nonsense", "/save", `/load ${bad}`, "Hello", `/save ${out}`].join("\n")
  const { code, stdout, stderr } = await ended(start("--chat-template", refusing), input)
  t.equal(code, 1)
  t.equal(stdout, "\n")
  t.match(stderr, /there is no \/nonsense\..*\nexpected \/save FILE\n/)
  t.match(stderr, /bad\.json is no conversation that \/save wrote: messages\[0\]\.role is 3, exp/)
  t.match(stderr, /the chat template that was given refuses these messages: not now/)
  t.same(messagesIn(out), [])
  const wrong = await ended(start("--generate_kwargs", "max_length=9"), "")
  t.match([wrong.code, wrong.stderr], [2, /max_length counts the prompt/])
})

t.test("Ctrl-C stops an answer, which stays as far as it came; twice leaves", async (t) => {
  const path = join(dir, "stopped.json")
  const slow = ["--backend", "js", "--max-new-tokens", "4000"]
  const child = start(...slow)
  const end = ended(child)
  child.stdin?.write("Hello\n")
  await once(child.stdout as never, "data")
  child.kill("SIGINT")
  child.stdin?.end(`/save ${path}\n`)
  const { code, stdout, stderr } = await end
  t.equal(code, 0, stderr)
  const [, answer] = messagesIn(path)
  t.equal(stdout, `${answer.content}\n`)
  t.ok(answer.content.length > 0)
  const other = start(...slow)
  const left = ended(other)
  other.stdin?.write("Hello\n")
  await once(other.stdout as never, "data")
  other.kill("SIGINT")
  setTimeout(() => other.kill("SIGINT"), 300)
  t.equal((await left).code, 130)
})

t.test("--prompt-cache keeps what was read for the next call", async (t) => {
  const file = join(dir, "kept.safetensors")
  const rest = ["--model", dir, "--threads", "1", "--temperature", "0", "--max-new-tokens", "8"]
  const generated = (...more: string[]) =>
    ended(spawn(process.execPath, [elm, "generate", "A beginning", ...rest, ...more]))
  const plain = await generated()
  for (const _ of [1, 2]) {
    const { code, stdout, stderr } = await generated("--prompt-cache", file)
    t.same([code, stdout], [0, plain.stdout], stderr)
  }
  const flags = ["--prompt-cache", file, "--max-new-tokens", "5"]
  const positions = async (): Promise<number> => {
    const { code, stderr } = await ended(start(...flags, "--seed", "1"), "Hello\n")
    t.equal(code, 0, stderr)
    return Number(/, (\d+) positions/.exec(stderr)?.[1])
  }
  t.ok((await positions()) > 20)
  t.equal(await positions(), 1 + 4, "the prompt's last token, and the answer's but its last")
  const other = await ended(start(...flags, "--cache", "f16"), "Hello\n")
  t.match([other.code, other.stdout, other.stderr], [1, "", /holds keys and values in "f32"/])
})

t.test("--overflow slide goes on beyond the context, in chat too", async (t) => {
  const narrow = join(t.testdir({ narrow: {} }), "narrow")
  await writeSmallModel(narrow, 64)
  const flags = ["--model", narrow, "--max-new-tokens", "50", "--seed", "1"]
  const input = "How long may this go on?\nAnd now?\nStill?\n"
  const refused = await ended(start(...flags), input)
  t.match([refused.code, refused.stderr], [1, /exceeds the context of 64|leave no room/])
  const { code, stderr } = await ended(start(...flags, "--overflow", "slide"), input)
  t.equal(code, 0, stderr)
  t.match(stderr, /3 answers, \d+ tokens/)
})

t.test("commands of docs/text.md that talk run as they stand there", async (t) => {
  const page = readFileSync(new URL("../../docs/text.md", import.meta.url), "utf8")
  const lines = [
    ...page.matchAll(/^npx elm (chat .*|generate .*--(?:prompt-cache|overflow).*)$/gm),
  ].map(([, line = ""]) => line)
  t.ok(lines.length > 3)
  for (const line of lines) {
    const [flags = ""] = line.replace("./my-model", dir).split(" < ")
    const words = [...flags.matchAll(/"([^"]*)"|\S+/g)].map(([word, text]) => text ?? word)
    const child = spawn(process.execPath, [elm, ...words], { cwd: dir })
    const { code, stdout, stderr } = await ended(child, "How are you?\n")
    t.equal(code, 0, stderr)
    t.ok(stdout.length > 1, line)
  }
})
