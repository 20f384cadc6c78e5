// What an evaluation is made of: a Scorer, which is a language model as three functions, and tasks, which
// ask it about documents and make numbers of its answers.  lm-evaluation-harness 0.4.1

/** A context, and what may follow it. */
export interface Pair {
  readonly context: string
  readonly continuation: string
}

/** What a model says of a continuation. */
export interface LogLikelihood {
  /** Natural logarithm of the continuation's probability after the context. */
  readonly logProb: number
  /** Whether each of its tokens is the likeliest there. */
  readonly isGreedy: boolean
}

/** A text to be continued until one of some texts comes. */
export interface Generation {
  readonly context: string
  readonly until: readonly string[]
  /** Most tokens that are generated; default what the Scorer has. */
  readonly maxNewTokens?: number
  /** Default 0: the likeliest token at each step. */
  readonly temperature?: number
}

/** How a Scorer is to work. */
export interface Work {
  /** Ends the work: what was asked for rejects with its reason. */
  readonly signal?: AbortSignal
  /** Called as answers are made, with how many of the call's there are. */
  onProgress?(done: number): void
  /** Called with an answer as soon as it is made, and the number of what was asked in the call: what there
   *  is when the call fails, or is ended by the signal, is kept. */
  onAnswer?(request: number, answer: Answer): void
}

/** A language model, as tasks need it: answers in the order of what is asked. */
export interface Scorer {
  /** Of each continuation after its context. */
  logLikelihood(pairs: readonly Pair[], work?: Work): Promise<readonly LogLikelihood[]>
  /** Log-likelihoods of whole texts, each token after as many before it as there is room for. */
  rolling?(texts: readonly string[], work?: Work): Promise<readonly number[]>
  /** What the model writes, without the text that ended it. */
  generateUntil?(prompts: readonly Generation[], work?: Work): Promise<readonly string[]>
}

/** One row of a data set. */
export type Document = Readonly<Record<string, unknown>>

/** What is asked of a Scorer, by the name of its function. */
export type Request =
  | ({ readonly kind: "logLikelihood" } & Pair)
  | { readonly kind: "rolling"; readonly text: string }
  | ({ readonly kind: "generateUntil" } & Generation)

/** What a Scorer says to a request. */
export type Answer = LogLikelihood | number | string

/** A metric of one document: a number, or what its aggregation takes, such as a weight beside it. */
export type Value = number | readonly [value: number, weight: number]

/** How values of documents become one. */
export type AggregationName = "mean" | "perplexity" | "weighted_perplexity" | "bits_per_byte"

/** How a metric of documents becomes one of the task. */
export interface Metric {
  readonly aggregation: AggregationName
  readonly higherIsBetter: boolean
}

/** Answers as they are scored, such as the number in a text; "none" leaves them as they are. */
export interface Filter {
  readonly name: string
  /** The answer as it is scored. */
  apply(answer: Answer): Answer
}

/** The splits of a data set by what they are used for. */
export interface Splits {
  readonly training?: string
  readonly validation?: string
  /** What is evaluated; where there is none, the validation split is. */
  readonly test?: string
  /** What examples come from; without it training, validation or test, whichever there is first. */
  readonly fewshot?: string
}

/** Where documents come from, and what each must have. */
export interface Source<D = Document> {
  /** The rows themselves by split, in place of files. */
  readonly rows?: Readonly<Record<string, readonly Document[]>>
  /** Their files by split, in place of what is looked for in the folder of data. */
  readonly paths?: Readonly<Record<string, readonly string[]>>
  /** Folders they may lie in, the task's name by default. */
  readonly folders?: readonly string[]
  /** Names of the data set on the hub, its configuration, and files with names of their own. */
  readonly hub?: readonly string[]
  readonly config?: string
  readonly files?: Readonly<Record<string, string>>
  readonly splits: Splits
  /** Rows of the splits as they were published. */
  readonly counts?: Readonly<Record<string, number>>
  /** Whether other tasks have their rows in the same files: then these count all. */
  readonly isShared?: boolean
  /** The row as a document, undefined where it is none of this task. Throws an error that names the
   *  column, and what was expected there. */
  read(row: Document): D | undefined
  /** Their order; default that of the file. */
  order?<T>(rows: readonly T[]): readonly T[]
}

/** Questions about documents, and how answers are scored. */
export interface Task<D = Document> {
  readonly name: string
  /** Of its prompts and metrics; default 0. */
  readonly version?: number
  /** How it is called within its group. */
  readonly alias?: string
  readonly source: Source<D>
  /** Examples before each document, which `shots` overrides unless it is 0 here; default 0. */
  readonly shots?: number
  /** Which of the pool are the examples; default drawn at random. */
  readonly sampler?: "default" | "first_n"
  /** What stands before the examples. */
  description?(document: D): string
  /** Between examples, and after the last; default an empty line. */
  readonly shotDelimiter?: string
  /** A document with its answer, as an example for others. */
  example?(document: D): string
  /** `lead`: the description and the examples. */
  requests(document: D, lead: string): readonly Request[]
  /** The metrics of a document. */
  score(document: D, answers: readonly Answer[]): Readonly<Record<string, Value>>
  readonly metrics: Readonly<Record<string, Metric>>
  readonly filters?: readonly Filter[]
  /** The right answer, as the log of documents has it. */
  target(document: D): unknown
  /** What the results say of the task, beside its data and metrics. */
  readonly config?: Readonly<Record<string, unknown>>
}

/** Tasks under one name, whose metrics are averaged by their numbers of documents. */
export interface Group {
  readonly name: string
  readonly alias?: string
  readonly members: readonly (Task | Group)[]
}
