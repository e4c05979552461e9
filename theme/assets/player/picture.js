// The picture of a step: who waits, what the pool lends and keeps, what PostgreSQL's backends do.

export const { words } = await import(`./words.${document.documentElement.lang}.js`)
// of those who wait are drawn
const MOST = 20

const escape = text => text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt()};`)
const code = text => `<code>${escape(text)}</code>`

/** A letter's place in A … Z, AA, AB …, from 1. */
const order = letter => [...letter].reduce((sum, sign) => sum * 26 + sign.charCodeAt() - 64, 0)
/** A connection: its color follows from its letter, so that it keeps both. What has a key moves, see `move`. */
const chip = (letter, kind = "", key = "", from = "") =>
  `<b class="chip ${kind}" data-key="${key}" data-from="${from}" style="--hue:${(113 + order(letter) * 137) % 360}">${letter}</b>`

const split = task => /^(.*?)(?: (\d+))?$/.exec(task).slice(1)
/** Names in words; three or more that follow one another become "guest 1 to 12". */
const list = (names, follows, show) => {
  const runs = []
  for (const name of names) {
    if (runs.length && follows(runs.at(-1).at(-1), name)) runs.at(-1).push(name)
    else runs.push([name])
  }
  const said = runs.flatMap(run => run.length > 2 ? words.to(show(run[0]), show(run.at(-1), true)) : run.map(name => show(name)))
  const last = said.pop()
  return said.length ? said.join(words.comma) + words.and + last : last ?? ""
}
const listLetters = letters => list([...letters].sort((a, b) => order(a) - order(b)), (a, b) => order(a) + 1 === order(b), letter => chip(letter))
const listTasks = tasks => list(tasks, (a, b) => {
  const [[stem, number], [other, next]] = [split(a), split(b)]
  return number && stem === other && +number + 1 === +next
}, (task, short) => `<span class="who">${escape(short ? split(task)[1] : task)}</span>`)

/** Where each connection of a pool stands, from where it stood; the first `size` places are those the pool keeps. */
const settle = ({ lent, free }, size, before) => {
  const places = []
  const vacant = () => {
    const hole = places.findIndex(held => !held)
    return hole < 0 ? places.length : hole
  }
  const held = [...lent.map(([letter, task]) => ({ letter, task, key: letter || `?${task}` })), ...free.map(letter => ({ letter, key: letter, free: true }))]
  const late = held.filter(one => {
    const at = before.findIndex((old, i) => old && !places[i] && [one.key, `?${one.task}`].includes(old.key))
    if (at >= 0) places[at] = one
    return at < 0
  })
  for (const one of late) places[vacant()] = one
  // from beyond, it moves there when there is room, or when it is free
  for (let i = size; i < places.length; i++) {
    let to = vacant()
    if (to >= size && places[i]?.free) to = places.findLastIndex((one, k) => k < size && !one.free)
    if (places[i] && to < size) [places[to], places[i]] = [places[i], places[to]]
  }
  return places
}

/** Works out for each step what its picture needs beyond its own state: places, and engines in use. */
export const prepare = recording => {
  const { engines, steps } = recording
  const nothing = { lent: [], free: [], waiting: [] }
  let places = engines.map(() => [])
  let shown
  let known = ""
  for (const engine of engines) engine.keeps = engine.size || (engine.pool === "NullPool" ? 0 : Infinity)
  for (const step of steps) {
    step.letters ??= []
    step.tasks = step.tasks?.sort((a, b) => a - b) ?? []
    step.fresh = step.letters.length && !step.letters.some(letter => known.includes(`[${letter}]`))
    known += step.letters.map(letter => `[${letter}]`)
    step.pools = engines.map((_, e) => step.pools[e] ?? nothing)
    step.places = places = step.pools.map((pool, e) => settle(pool, engines[e].keeps, places[e]))
    const busy = [...engines.keys()].filter(e => step.pools[e].waiting.length || places[e].some(Boolean))
    step.shown = shown = busy.length ? busy : shown
  }
  const first = steps.find(step => step.shown)?.shown ?? []
  for (const step of steps) step.shown ??= first
  // no more rows of places than are ever in use
  engines.forEach((engine, e) => {
    const rows = Math.ceil(Math.max(...steps.map(step => step.places[e].length)) / 5) * 5
    engine.kept = Math.min(engine.keeps, Math.max(rows, 10))
    engine.extra = Math.min(Math.max(rows - engine.keeps, 0), engine.overflow < 0 ? Infinity : engine.overflow)
  })
  recording.waits = steps.some(({ pools }) => pools.some(({ waiting }) => waiting.length))
  return recording
}

/** What a sentence may say of a step. */
export const tell = ({ engines, tasks }, { event, engine, letters, tasks: who, text, backends, pools, fresh }) => {
  const { size, keeps, pool } = engines[engine] ?? {}
  const { lent, free, waiting } = pools[engine] ?? pools[0] ?? {}
  const states = new Set(backends.filter(([letter]) => letters.includes(letter)).map(([, state]) => state))
  return words[event]({
    who: listTasks(who.map(i => tasks[i])) || words.program,
    many: who.length > 1,
    count: who.length,
    on: listLetters(letters),
    several: letters.length > 1,
    text: text && code((event === "print" ? "#> " : "") + text),
    fresh,
    now: states.size === 1 && code([...states][0]),
    lent: lent?.length,
    free: free?.length,
    stuck: lent?.length > 1 && lent.every(([, task]) => waiting.includes(task)),
    over: size && Math.max(0, Math.min(who.length, lent.length + free.length - size)),
    kept: letters.every(letter => free?.includes(letter)),
    full: size && free.length >= size,
    size,
    pool: keeps === 0 && escape(pool),
    unaware: pools.some(({ lent, free }) => [...free, ...lent.map(([letter]) => letter)].some(letter => letters.includes(letter))),
  })
}

const drawTask = (task, key, from = "") => {
  const [stem, number] = split(task)
  return `<span class="task" data-key="${key}" data-from="${from}"><span>${escape(stem)}</span>${number ? `&nbsp;${number}` : ""}</span>`
}

const drawPlace = (held, extra, tasks, step) => {
  if (!held) return `<li class="place ${extra}"></li>`
  const { letter, task, key, free } = held
  const now = letter ? step.letters.includes(letter) : step.tasks.includes(task)
  const dead = letter && !step.backends.some(([other]) => other === letter)
  return `<li class="place ${extra} ${free ? "free" : "lent"} ${now ? "now" : ""}">`
    + (letter ? chip(letter, dead ? "dead" : "", `p${letter}`, `p?${task}`) : `<b class="chip opening" data-key="p${key}"></b>`)
    + (free ? `<span class="task">${dead ? words.dead : words.free}</span>` : drawTask(tasks[task], letter ? `t${task}@${letter}` : `t${task}`, `t${task}`))
    + "</li>"
}

const drawPool = ({ engines, tasks }, step, e) => {
  const { name, size, overflow, pool, keeps, kept, extra } = engines[e]
  const { lent, free } = step.pools[e]
  const caption = (setting, meaning) => `<p>${code(setting)} ${meaning}</p>`
  const row = (from, count, kind) => count && `<ol>${Array.from({ length: count }, (_, i) => drawPlace(step.places[e][from + i], kind, tasks, step)).join("")}</ol>`
  return [
    `<section class="pool"><p class="label">${code(name)}<span>${words.count(lent.length, free.length)}</span></p>`,
    keeps ? caption(pool === "StaticPool" ? pool : `pool_size=${size}`, size ? words.kept : words.all) : caption(pool, words.none),
    row(0, kept, ""),
    size && overflow && caption(`max_overflow=${overflow}`, words.extra),
    row(keeps, extra, "extra"),
    "</section>",
  ].filter(Boolean).join("")
}

const STATES = ["active", "idle in transaction", "idle in transaction (aborted)", "idle"]
const drawBackends = ({ backends, letters }) => {
  // those that say the same, together
  const rows = {}
  for (const backend of backends) {
    const [, state, query] = backend
    ;(rows[STATES.indexOf(state) + state + query] ??= []).push(backend)
  }
  const drawRow = row => {
    const [[, state, query]] = row
    return `<li class="${state.replace(/\W+/g, "-")}"><span>`
      + row.map(([letter]) => chip(letter, letters.includes(letter) ? "now" : "", `b${letter}`, `p${letter}`)).join("")
      + `</span><i>${state}</i><code>${query && state !== "active" ? `<small>${words.last}</small> ` : ""}${escape(query)}</code></li>`
  }
  return `<section class="backends"><p class="label">PostgreSQL<span>${words.backends(backends.length)}</span></p><ul>`
    + `${Object.keys(rows).sort().map(key => drawRow(rows[key])).join("")}</ul></section>`
}

const drawWaiting = (tasks, { pools, tasks: now }) => {
  const waiting = [...new Set(pools.flatMap(pool => pool.waiting))]
  const lent = pools.flatMap(pool => pool.lent)
  const drawOne = task => {
    const held = lent.flatMap(([letter, holder]) => letter && holder === task ? chip(letter) : [])
    return `<li class="${now.includes(task) ? "now" : ""}">${drawTask(tasks[task], `t${task}`)}${held.length ? ` <small>${words.holds} ${held.join("")}</small>` : ""}</li>`
  }
  return `<section class="waiting"><p class="label">${words.waiting}<span>${waiting.length}</span></p><ul>`
    + `${waiting.slice(0, MOST).map(drawOne).join("")}${waiting.length > MOST ? `<li>${words.more(waiting.length - MOST)}</li>` : ""}</ul></section>`
}

export const draw = (recording, step) => (recording.waits ? drawWaiting(recording.tasks, step) : "")
  + `<div>${step.shown.map(e => drawPool(recording, step, e)).join("")}</div>${drawBackends(step)}`

/** The picture in a sentence, for those who do not see it. */
export const summarize = ({ pools, backends }) => {
  const sum = part => pools.reduce((all, pool) => all + pool[part].length, 0)
  return words.state(sum("lent"), sum("free"), sum("waiting"), words.backends(backends.length))
}

/** Whatever has moved goes there from where it was; what is gone fades. */
export const move = (stage, change) => {
  const find = () => stage.querySelectorAll("[data-key]:not([data-key=''])")
  const before = new Map(Array.from(find(), element => [element.dataset.key, [element, element.getBoundingClientRect()]]))
  change()
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return
  const gone = new Map(before)
  const timing = { duration: 350, easing: "ease-in-out" }
  for (const element of find()) {
    const { key, from } = element.dataset
    const origin = before.has(key) ? key : from
    const [, old] = before.get(origin) ?? []
    const { x, y } = element.getBoundingClientRect()
    gone.delete(origin)
    element.animate([old ? { translate: `${old.x - x}px ${old.y - y}px` } : { opacity: 0, scale: 0.4 }, {}], timing)
  }
  const { x, y } = stage.getBoundingClientRect()
  for (const [element, old] of gone.values()) {
    element.dataset.key = ""
    element.style.cssText += `;position:absolute;left:${old.x - x}px;top:${old.y - y}px`
    stage.append(element)
    element.animate([{}, { opacity: 0, scale: 0.4 }], timing).onfinish = () => element.remove()
  }
}
