/* How texts and queries become words.

   Han text is kept by character and by pair of characters: no dictionary, no wrong cut.
   An identifier is kept whole, by part and by neighbouring parts, its underscores left out:
   pool_pre_ping is found by ping, pre_ping, poolpre; AsyncAdaptedQueuePool by QueuePool. */

const HAN = /\p{Script=Han}/u
const RUN = /\p{Script=Han}+|(?:(?!\p{Script=Han})[\p{L}\p{N}_])+/gu
const PART = /\p{Lu}+(?!\p{Ll})\p{N}*|\p{Lu}?[\p{Ll}\p{Lo}\p{N}]+/gu
const NUMBER = /^(\d+|0x[\da-f]+)$/i
const SMALL_WORDS = new Set(
  ("a an and any are as at be been between but by can could did difference different do does doing done even for from get gets " +
  "got had has have how i if in into is it its me mean meaning means my need needs no not of on or our should so some still than " +
  "that the their them then there these they this to too until up us use using versus vs was we what when where which while who " +
  "why will with would you your").split(" "))
const SMALL_HAN = new RegExp(
  "为什么|是什么|什么|怎么办|怎么样|怎么|怎样|如何|多少|哪里|哪个|哪些|是不是|能不能|要不要|有没有|没有|是否|可以|需要|应该|" +
  "已经|之后|以后|时候|区别|解决|意思|(?<!归)还(?![给回])|(?<![满爆忘串])了|[的吗呢吧么是也就都很我你它把被里在和跟]", "gu")

/* One thing a line, under all the names that readers and pages give it: who types one finds the others.
   Of Latin names the stem. A Chinese name of more or less than two characters counts in queries only. */
const NAMES = `
  耗尽 打满 占满 满了 用光 用完 爆了 不够用 拿不到 exhaust full dry
  泄漏 泄露 leak
  归还 释放 还给 还回 return releas
  借出 拿到 获取 borrow checkout lend lent obtain
  占着 占用 占住 hold keep taken
  失效 断线 断连 掉线 重连 stal dead lost drop reconnect
  预检 探活 心跳 保活 ping heartbeat aliv
  死锁 卡死 卡住 挂起 hang freez deadlock stuck
  断开 disconnect
  强行断开 杀掉 杀死 终止 kill terminat
  阻塞 block
  等待 排队 wait queue
  并发 同时 并行 concurrent concurrency parallel
  监控 查看 watch monitor metric
  压测 测量 benchmark measur
  漏写 忘了 忘记 forgot forget forgotten miss
  残留 串了 脏连接 dirty
  会话 session
  连接 connection
  引擎 engin
  事务 transaction
  关闭 clos
  取消 cancel
  溢出 overflow
  超时 timeout
  依赖 dependency
  任务 协程 task coroutin
  线程 thread
  进程 多进程 process worker
  提交 commit
  回滚 rollback
  请求 request
  参数 配置 选项 parameter argument option setting configuration
  默认 default
  例子 示例 exampl snippet
  报错 异常 错误 error exception
  数据库 database postgresql postgr pg
  fix cur solv mend
  服务端 backend
  锁 lock
  副本 pod replica kubernetes k8s
  发布 上线 deploy deployment rollout
  云函数 函数计算 serverless lambda
  核数 cpu core
  每个 per each every
  大小 size larg larger big bigger
  很慢 变慢 slow slower
  重启 restart
  恢复 recover
  第三方 外部 external third
  代价 坏处 缺点 cost price drawback
  面板 看板 dashboard
  关掉 禁用 不用 disabl off without
  环境变量 environment env
  健康检查 探针 probe health
  模板 脚手架 template
`.trim().split("\n").map(line => line.trim().split(" "))
const NAMED = new RegExp(NAMES.flat().filter(name => HAN.test(name) && name.length > 2).join("|"), "gu")

/* What a terminal prints around an error: the reader's own paths, addresses and values. */
const NOISE = new RegExp([
  String.raw`\(Background on this error[^)]*\)?`, String.raw`https?:\S+`, String.raw`\[(?:SQL|parameters):[^\]]*\]?`,
  String.raw`File "[^"]*", line \d+(?:, in \S+)?`, String.raw`(?:(?<![\w\p{Script=Han}])|\b[A-Z]:)(?:[\\/][\w.@-]+){2,}`,
  String.raw`<class '[^']*'>:?`, String.raw`\b(?:[a-z_]+\.)+(?=[A-Z]\w+(?:Error|Exception|Warning)\b)`].join("|"), "gu")
const RAISED = /(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning|Greenlet)(?=:|\s*$)/g

/* closing, closed, closes: clos */
function stem(word) {
  if (/(ss|us|is)$/.test(word)) return word
  const root = word.replace(/ies$/, "y").replace(/(ing|ed|es|e|s)$/, "")
  return root.length < 3 ? word : root.replace(/([bdgmnprt])\1$/, "$1")
}

const parts = run => [...run.matchAll(PART)]
const whole = run => stem(parts(run).join("").toLowerCase())

/* Every word of a text, with where it stands. */
function* wordsOf(text) {
  for (const { 0: run, index } of text.matchAll(RUN)) {
    if (HAN.test(run)) {
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

const pairsOf = text => Array.from(wordsOf(text), ({ word }) => word).filter(word => [...word].length === 2)

/* The error in a traceback stands in its last line. A search box joins the lines. */
function told(query) {
  const raised = /Traceback|File "/.test(query) ? [...query.matchAll(RAISED)].at(-1) : null
  return query.slice(raised?.index ?? 0).replace(NOISE, " ")
}

/* What a query asks for: terms as typed, each with the words that stand for it, and what else it is
   called. Numbers differ from one error message to the next, so they count in a few words only. */
function termsOf(query, known) {
  const terms = new Map()
  const add = (text, words, of = text) => {
    const names = NAMES.find(line => line.includes(words.length > 1 ? text : words[0])) ?? []
    const also = names.filter(name => !words.includes(name) && (!HAN.test(name) || [...name].length === 2))
    terms.set(text, { text, words, also, of })
  }
  for (const [run] of told(query.normalize("NFKC")).matchAll(RUN)) {
    if (HAN.test(run)) {
      run.replace(NAMED, " $& ").split(" ").forEach((piece, i) => {
        if (i % 2) return add(piece, pairsOf(piece))
        for (const rest of piece.split(SMALL_HAN)) for (const pair of pairsOf(rest)) add(pair, [pair], rest)
      })
    } else if (parts(run).length) {
      for (const piece of known(whole(run)) ? [run] : parts(run).map(String)) add(piece, [whole(piece)])
    }
  }
  const few = terms.size < 6
  const telling = [...terms.values()].filter(({ text }) => (few || !NUMBER.test(text)) && !SMALL_WORDS.has(text.toLowerCase()))
  if (telling.length) return telling
  if (terms.size) return [...terms.values()]
  return Array.from(query.matchAll(new RegExp(HAN, "gu")), ([char]) => ({ text: char, words: [char], also: [], of: char }))
}
