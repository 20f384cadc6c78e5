// What the service has done so far, in the text format of Prometheus.
import type { Serving } from "../model/index.ts"

/** Upper bounds of a histogram's buckets, in seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

class Histogram {
  readonly #counts = bounds.map(() => 0)
  #count = 0
  #sum = 0

  add(seconds: number): void {
    this.#count++
    this.#sum += seconds
    for (const [i, bound] of bounds.entries()) {
      if (seconds <= bound) this.#counts[i] = (this.#counts[i] as number) + 1
    }
  }

  lines(name: string): string[] {
    return [
      ...bounds.map((bound, i) => `${name}_bucket{le="${bound}"} ${this.#counts[i]}`),
      `${name}_bucket{le="+Inf"} ${this.#count}`,
      `${name}_sum ${this.#sum}`,
      `${name}_count ${this.#count}`,
    ]
  }
}

/** A label's value: other signs than these are as they are. */
const escaped = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

export class Metrics {
  /** From when a request came until the first part of its answer, and until its end. */
  readonly first = new Histogram()
  readonly whole = new Histogram()
  readonly #requests = new Map<string, number>()

  /** One more request of a path ended with a status. */
  count(path: string, status: number): void {
    const labels = `path="${path}",status="${status}"`
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1)
  }

  response(all: ReadonlyMap<string, Serving>): Response {
    const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" }
    return new Response(this.#text(all), { headers })
  }

  #text(all: ReadonlyMap<string, Serving>): string {
    const lines: string[] = []
    const metric = (name: string, type: string, help: string, values: readonly string[]) =>
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...values)
    const each = (name: string, value: (counts: Serving["counts"]) => number) =>
      [...all].map(([model, { counts }]) => `${name}{model="${escaped(model)}"} ${value(counts)}`)
    const perModel = (
      name: string,
      type: string,
      help: string,
      value: (c: Serving["counts"]) => number,
    ) => metric(name, type, help, each(name, value))
    perModel(
      "elm_prompt_tokens_total",
      "counter",
      "Tokens of prompts that were read",
      ({ read }) => read,
    )
    perModel(
      "elm_prompt_tokens_reused_total",
      "counter",
      "Tokens of prompts that were in the cache",
      ({ reused }) => reused,
    )
    perModel(
      "elm_generated_tokens_total",
      "counter",
      "Tokens that were chosen",
      ({ generated }) => generated,
    )
    perModel("elm_steps_total", "counter", "Steps of the batch", ({ steps }) => steps)
    perModel("elm_batch_size", "gauge", "Requests in the batch", ({ active }) => active)
    perModel(
      "elm_queue_length",
      "gauge",
      "Requests that wait for a place",
      ({ waiting }) => waiting,
    )
    const requests = [...this.#requests].map(([labels, n]) => `elm_requests_total{${labels}} ${n}`)
    metric("elm_requests_total", "counter", "Requests that were answered", requests)
    const name = "elm_time_to_first_token_seconds"
    metric(
      name,
      "histogram",
      "From a request to the first part of its answer",
      this.first.lines(name),
    )
    const whole = "elm_request_seconds"
    metric(whole, "histogram", "From a request to the end of its answer", this.whole.lines(whole))
    return `${lines.join("\n")}\n`
  }
}
