// Text normalization: the original's column of the golden file, and ftfy itself (its 6.2 rules) run
// on generated text: misread in nine character sets, entities, controls, lone surrogates.

import { fixText, normalizerOf } from "../train/data/normalize.ts"
import { fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

t.test("ftfy's repairs equal the original's on the tokenizer cases", (t) => {
  const { cases } = fixtureJson("data/tokenizer_cases.json")
  for (const { text, ftfy_nfc } of cases) t.equal(normalizerOf("ftfy")(text), ftfy_nfc, text)
  t.end()
})

t.test("ftfy's repairs equal ftfy's on generated text", (t) => {
  const cases = fixtureJson("data/ftfy_cases.json") as [string, string][]
  const wrong = cases.filter(([text, fixed]) => fixText(text) !== fixed)
  t.same(wrong, [], `${cases.length} cases`)
  t.end()
})

t.test("each repair mends what it is for, and nothing else", (t) => {
  const repairs: readonly (readonly [string, string, string])[] = [
    ["misread once", "naÃ¯ve â€œcafÃ©â€\u009d", 'naïve "café"'],
    ["misread twice", "Ã¢â‚¬Å“twiceÃ¢â‚¬\u009d", '"twice"'],
    ["read as Windows-1251", "РџСЂРёРІРµС‚", "Привет"],
    ["read as MacRoman", "caf√© na√Øve", "café naïve"],
    ["a hard space become plain", "voilÃ  le travail", "voilà le travail"],
    ["what was lost", "â€œlostâ€\ufffd", '"lost\ufffd'],
    ["only a part misread", "Привет, cafÃ©", "Привет, café"],
    ["entities", "&lt;P&EACUTE;REZ&gt; &#x41;&#133; &nTILDE;", "<PÉREZ> A… &nTILDE;"],
    ["no entities from the first < on", "&amp;\na < b &amp;\n&amp;", "&\na < b &amp;\n&amp;"],
    ["lines", "a\r\nb\rc\u2028d\x85e", "a\nb\nc\nd…e"],
    ["surrogates", "\ud83d\ude00 \ude00", "😀 \ufffd"],
    ["escapes and controls", "\x1b[31mred\x1b[0m\0\ufeff", "red"],
    ["widths and ligatures", "ＡＢＣ　ﾊﾝ ﬃ ŉ", "ABC ハン ffi 'n"],
    ["composition", "cafe\u0301", "café"],
    [
      "plain text",
      'Tom\'s "end".\n\tÆther — Çà et là, œuvre',
      'Tom\'s "end".\n\tÆther — Çà et là, œuvre',
    ],
  ]
  for (const [name, text, fixed] of repairs) t.equal(fixText(text), fixed, name)
  t.equal(normalizerOf("nfc")("cafe\u0301 &amp; “”"), "café &amp; “”")
  t.equal(normalizerOf("none")("cafe\u0301"), "cafe\u0301")
  t.end()
})
