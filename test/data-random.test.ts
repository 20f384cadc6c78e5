// Python's Mersenne Twister: numbers that Python 3.11 printed.

import { PythonRandom } from "../model/python/random.ts"
import t from "./tap.ts"

t.test("seeds give Python's numbers", (t) => {
  // [random.Random(seed).getrandbits(32) for _ in range(3)], then random() from a new one
  const printed: readonly (readonly [number, readonly number[], number])[] = [
    [0, [3626764237, 1654615998, 3255389356], 0.8444218515250481],
    [1, [577090037, 2444712010, 3639700191], 0.13436424411240122],
    [-5, [2675342405, 1097127993, 3185950873], 0.6229016948897019],
    [42, [2746317213, 478163327, 107420369], 0.6394267984578837],
    [4294967296, [485306839, 1508871100, 1794561286], 0.11299430095636409],
    [9007199254740991, [404802386, 2407860725, 957238923], 0.09425040007102303],
    [123456789012, [1619264890, 2798649831, 88888752], 0.37701448538609916],
  ]
  for (const [seed, bits, uniform] of printed) {
    const random = new PythonRandom(seed)
    t.same([random.bits(32), random.bits(32), random.bits(32)], bits, `seed ${seed}`)
    t.equal(new PythonRandom(seed).uniform(), uniform)
  }
  t.end()
})

t.test("shuffle and choices are Python's, long after seeding too", (t) => {
  const random = new PythonRandom(7)
  const list = Array.from({ length: 12 }, (_, i) => i)
  random.shuffle(list)
  t.same(list, [7, 11, 3, 10, 8, 4, 9, 1, 0, 6, 2, 5])
  t.same(random.choices(list, 8), [2, 3, 11, 4, 3, 9, 7, 9])
  for (let i = 0; i < 2000; i++) random.uniform()
  const long = Array.from({ length: 100 }, (_, i) => i)
  random.shuffle(long)
  t.same(long.slice(0, 10), [5, 9, 92, 47, 90, 85, 55, 63, 44, 2])
  t.end()
})

t.test("a state goes through JSON and continues", (t) => {
  const random = new PythonRandom(3)
  for (let i = 0; i < 1000; i++) random.bits(5)
  const copy = PythonRandom.fromState(JSON.parse(JSON.stringify(random.state())))
  t.same(copy.state(), random.state())
  const draw = (x: PythonRandom) => Array.from({ length: 700 }, () => x.uniform())
  t.same(draw(copy), draw(random))
  // sum(random.Random(3).getstate()[1]) % 2**31
  const sum = new PythonRandom(3).state().reduce((a, b) => a + b, 0)
  t.equal(sum % 2 ** 31, 1041757796)
  t.throws(() => PythonRandom.fromState([1, 2]), /expected 624 words and a position, got 2 numbers/)
  t.throws(() => new PythonRandom(0.5), /seed is 0.5, expected a whole number/)
  t.end()
})
