// The calculator of sizing/arithmetic. It puts its form where its <script> stands; without
// JavaScript the page has the formula there and a table of worked examples.
"use strict"
{
  /** What may be open at once, what is free, and the largest pool that fits. */
  const calculate = given => {
    const surge = given.deploy.endsWith("%")
      ? Math.ceil(given.pods * parseInt(given.deploy) / 100)
      : Number(given.deploy)
    const free = given.max_connections - given.reserved - given.others
    const pools = (given.pods + surge) * given.processes * given.engines
    const each = Math.max(0, Math.floor(free / pools))
    // pool_size=0 would take the limit away: never all of them as overflow.
    const overflow = Math.max(0, Math.min(each - 1, Math.floor(each * given.share / 100)))
    const wanted = pools * (given.pool_size + given.max_overflow)
    return { surge, free, pools, each, size: each - overflow, overflow, wanted }
  }

  // Each field: what it starts with, and the least it takes.
  const GROUPS = {
    server: { max_connections: [100, 1], reserved: [3, 0], others: [10, 0] },
    program: { pods: [2, 1], deploy: ["100%"], processes: [4, 1], engines: [1, 1] },
    pool: { pool_size: [5, 1], max_overflow: [10, 0], share: [33, 0] },
  }
  const FIELDS = Object.assign({}, ...Object.values(GROUPS))

  const words = {
    en: {
      server: "PostgreSQL",
      max_connections: "max_connections",
      reserved: "Reserved slots",
      others: "For everyone else",
      program: "Your service",
      pods: "Pods or machines",
      deploy: "More to deploy (1, 25%)",
      processes: "Processes per pod",
      engines: "Engines per process",
      pool: "The pool",
      pool_size: "pool_size now",
      max_overflow: "max_overflow now",
      share: "Overflow, % of a pool",
      fits: left => `Fits, and leaves ${left}.`,
      exceeds: over => `Does not fit: ${over} too many.`,
      open: "Opens at most: ",
      free: "Free: ",
      largest: "The largest pool that fits: ",
      none: "No pool fits. Run fewer processes, raise max_connections, or put PgBouncer in between.",
      whole: (name, least) => `“${name}” must be a whole number, ${least} or more.`,
      surge: name => `“${name}” must be a whole number or a percentage, such as 1 or 25%.`,
    },
    zh: {
      server: "PostgreSQL",
      max_connections: "max_connections",
      reserved: "保留名额",
      others: "留给别人",
      program: "你的服务",
      pods: "Pod 或机器数",
      deploy: "发布时多开（1、25%）",
      processes: "每个 Pod 几个进程",
      engines: "每个进程几个引擎",
      pool: "连接池",
      pool_size: "现在的 pool_size",
      max_overflow: "现在的 max_overflow",
      share: "溢出占池的百分比",
      fits: left => `装得下，还剩 ${left} 个。`,
      exceeds: over => `装不下，多出 ${over} 个。`,
      open: "最多打开：",
      free: "可用：",
      largest: "装得下的最大的池：",
      none: "多小的池都装不下。减少进程，调大 max_connections，或者中间加 PgBouncer。",
      whole: (name, least) => `“${name}”要填整数，不小于 ${least}。`,
      surge: name => `“${name}”要填整数或百分比，比如 1 或 25%。`,
    },
  }[document.documentElement.lang]

  const field = ([name, [, least]]) =>
    `<label>${words[name]} <input name="${name}" ${least === undefined ? "" : `type="number" min="${least}"`}></label>`
  const form = document.createElement("form")
  form.className = "calculator"
  form.autocomplete = "off"
  form.noValidate = true
  form.innerHTML = Object.entries(GROUPS).map(([group, fields]) =>
    `<fieldset><legend>${words[group]}</legend>${Object.entries(fields).map(field).join("")}</fieldset>`,
  ).join("") + "<output></output><pre><code></code></pre>"
  const output = form.querySelector("output")
  const code = form.querySelector("code")
  const inputs = [...form.querySelectorAll("input")]

  /** One sentence on what makes no sense in a field; nothing if it does. */
  const problem = ({ name, value }) => {
    const [, least] = FIELDS[name]
    if (least === undefined) return /^\d+%?$/.test(value) ? "" : words.surge(words[name])
    return /^\d+$/.test(value) && value >= least ? "" : words.whole(words[name], least)
  }

  const say = (verdict, ...lines) => {
    form.dataset.verdict = verdict
    output.replaceChildren(...lines.map(line => Object.assign(document.createElement("p"), { textContent: line })))
  }

  const show = () => {
    for (const input of inputs) input.setAttribute("aria-invalid", problem(input) !== "")
    const wrong = inputs.map(problem).find(Boolean)
    code.parentElement.hidden = true
    if (wrong) return say("problem", wrong)

    const given = Object.fromEntries(inputs.map(({ name, value }) => [name, name === "deploy" ? value : Number(value)]))
    const { surge, free, pools, each, size, overflow, wanted } = calculate(given)
    const sum = `(${given.pods} + ${surge}) × ${given.processes} × ${given.engines}`
    const fits = wanted <= free
    say(
      fits ? "fits" : "exceeds",
      fits ? words.fits(free - wanted) : words.exceeds(wanted - free),
      `${words.open}${sum} × (${given.pool_size} + ${given.max_overflow}) = ${wanted}`,
      `${words.free}${given.max_connections} − ${given.reserved} − ${given.others} = ${free}`,
      each ? `${words.largest}${sum} × (${size} + ${overflow}) = ${pools * each}` : words.none,
    )
    code.textContent = `create_async_engine(url, pool_size=${size}, max_overflow=${overflow})`
    code.parentElement.hidden = !each
  }

  // The address carries the numbers, for sharing. It is replaced: the way back leads off the page.
  const otherLanguage = document.querySelector("a.switch")
  const keep = () => {
    const query = new URLSearchParams(inputs.map(({ name, value }) => [name, value]))
    history.replaceState(history.state, "", `?${query}#calculator`)
    otherLanguage.search = location.search
  }
  const read = () => {
    const query = new URLSearchParams(location.search)
    for (const input of inputs) input.value = query.get(input.name) ?? FIELDS[input.name][0]
    otherLanguage.search = location.search
    show()
  }

  form.addEventListener("input", show)
  form.addEventListener("change", keep)
  form.addEventListener("submit", event => event.preventDefault())
  addEventListener("popstate", read)
  read()
  document.currentScript.replaceWith(form)
}
