/* How texts and queries become words.

   Han text is kept by character and by pair of characters: no dictionary, no wrong cut.
   An identifier is kept whole, by part and by neighbouring parts, its underscores left out:
   pool_pre_ping is found by ping, pre_ping, poolpre; AsyncAdaptedQueuePool by QueuePool. */

const RUN = /(\p{Script=Han}+)|[\p{L}\p{N}_]+/gu
const PART = /\p{Lu}+(?!\p{Ll})\p{N}*|\p{Lu}?[\p{Ll}\p{Lo}\p{N}]+/gu
const NOISE = /\(Background on this error[^)]*\)?|\bhttps?:\S+/g
const NUMBER = /^(\d+|0x[\da-f]+)$/i
const SMALL_WORDS = new Set(
  ("a an and any are as at be been but by can could did do does even for from get had has have how i if in into is it " +
  "its me mean my need no not of on only or our should so some still than that the their them then there these they this " +
  "to until up was we what when where which while who why will with without would you your").split(" "))
const SMALL_HAN =
  /为什么|怎么办|怎么|怎样|如何|什么|多少|哪里|是不是|能不能|要不要|有没有|是否|可以|需要|应该|已经|之后|以后|时候|(?<!归)还|[的了吗呢吧么是也就都很我你它把被里在]/u

/* What a Chinese reader types in English and a Chinese page says in Chinese, by stem. */
const SAME = {
  session: "会话", connection: "连接", engin: "引擎", transaction: "事务", leak: "泄漏", clos: "关闭",
  cancel: "取消", overflow: "溢出", timeout: "超时", dependency: "依赖", task: "任务", thread: "线程",
}

/* closing, closed, closes: clos */
function stem(word) {
  if (/(ss|us|is)$/.test(word)) return word
  const root = word.replace(/ies$/, "y").replace(/(ing|ed|es|e|s)$/, "")
  return root.length < 3 ? word : root.replace(/([bdgmnprt])\1$/, "$1")
}

const isHan = word => /^\p{Script=Han}/u.test(word)
const parts = run => [...run.matchAll(PART)]
const whole = run => stem(parts(run).join("").toLowerCase())

/* Every word of a text, with where it stands. */
function* wordsOf(text) {
  for (const { 0: run, 1: han, index } of text.matchAll(RUN)) {
    if (han) {
      const starts = [...run.matchAll(/./gu)].map(char => index + char.index).concat(index + run.length)
      for (let i = 0; i < starts.length - 1; i++)
        for (const end of starts.slice(i + 1, i + 3)) yield { word: text.slice(starts[i], end), start: starts[i], end }
    } else {
      const found = parts(run).slice(0, 8)
      for (let i = 0; i < found.length; i++)
        for (let j = i; j < found.length; j++) {
          const start = index + found[i].index
          const end = index + found[j].index + found[j][0].length
          yield { word: stem(found.slice(i, j + 1).join("").toLowerCase()), start, end }
        }
    }
  }
}

/* The pairs of a text's Han characters. */
const pairsOf = text => Array.from(wordsOf(text), ({ word }) => word).filter(word => isHan(word) && [...word].length > 1)

/* What a query asks for: the terms as typed, each with the words that stand for it. Numbers differ
   from one error message to the next, so they count only where there is nothing else. */
function termsOf(query, loose) {
  const terms = new Map()
  for (const { 0: run, 1: han } of query.normalize("NFKC").replace(NOISE, " ").matchAll(RUN)) {
    if (han) {
      for (const piece of run.split(SMALL_HAN)) {
        const pairs = pairsOf(piece)
        if (pairs.length) terms.set(piece, pairs)
      }
    } else if (parts(run).length) {
      for (const piece of loose ? parts(run).map(String) : [run]) terms.set(piece, [whole(piece)])
    }
  }
  const telling = [...terms].filter(([term]) => !NUMBER.test(term) && !SMALL_WORDS.has(term.toLowerCase()))
  if (telling.length) return new Map(telling)
  if (terms.size) return terms
  return new Map([...query.matchAll(/\p{Script=Han}/gu)].map(([char]) => [char, [char]]))
}
