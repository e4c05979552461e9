/* The search of one language, behind Material's search box.

   Material's protocol: from here 1 READY and 3 RESULT, from there 2 QUERY. The index is the one its
   search plugin writes, sections of pages as HTML; it is fetched when this worker starts, and that
   is when somebody opens the search. A result may say `found: "nothing"` or `"not loaded"`, which
   partials/javascripts/page.html puts into words.

   How pages rank: a word of the query counts the more, the fewer sections have it, and by where it
   stands (FIELDS). A page has the score of all its sections taken together and that of its best one,
   which gains by what it says just as it was typed. Both are multiplied with the share of the query
   that the page has, and that its best section has. So no word has to be there, and none shuts a page
   out; a page with all of them, side by side and in its title, comes first. */

importScripts("words.js")

const READY = 1, QUERY = 2, RESULT = 3
/* What a word is worth where it stands, and how often it has to stand there to be worth half of it. */
const FIELDS = { title: [2.5, 0.3], about: [2.5, 0.5], heads: [1.5, 0.5], text: [3, 6], code: [0.5, 3] }
const OTHER_NAME = 0.6     // of a word: what another name of the same thing is worth,
const LONGER = 0.7         // a longer word that begins with what is being typed,
const SLIP = 0.5           // a word with a letter wrong, or two
const PROSE = 0.5          // the weight of a word that is in no title, description or code: it names no matter
const RARE = 3             // the weight of a pair of Han characters at most: a rare one often is no word
const UNKNOWN = [2, 0.3]   // the weight of a word, of a pair, that is nowhere
const TYPED = 2            // what a section gains that says the whole query as it was typed
const LIST = 0.5           // what a page keeps of its score that names everything: others explain
const NEAR = 0.2           // the share of a query that some page must have; if not, it is off topic
const SHOWN = 0.01         // of the best page's score
const SECTIONS = 8         // of a page
const UNFOLDED = 3         // of them; the others fold
const SENTENCE = 4         // words
const TEASER = 160         // characters
const LISTS = /^(reference\/(snippets|glossary)|contributing)/
const DOORS = ["#where-to-go", "start/quickstart/", "reference/parameters/", "reference/glossary/"]

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"' }
const plain = html => html.replace(/<\/?(code|su[bp])>/g, "").replace(/<[^>]+>/g, " ").replace(/&#x?27;|&#39;/g, "'")
  .replace(/&(\w+);/g, (entity, name) => ENTITIES[name] ?? entity).replace(/\s+/g, " ").trim()
const safe = text => text.replace(/[&<>"]/g, char => `&#${char.charCodeAt(0)};`)
const flat = text => text.toLowerCase().replace(/[^\p{L}]+/gu, " ").replace(/(?<=\p{Script=Han}) | (?=\p{Script=Han})/gu, "").trim()
const sum = numbers => numbers.reduce((total, number) => total + number, 0)

let sections, index        // index: word, number of a section, field, how often

function load({ docs }) {
  index = new Map()
  sections = docs.map(({ location, title, text, about = "" }, id) => {
    const address = location.split("#")[0]
    const code = Array.from(text.matchAll(/<pre>.*?<\/pre>/gs), ([block]) => block).join("\n")
    const section = {
      id, address, location, title: plain(title), text: plain(text.replace(/<pre>.*?<\/pre>/gs, " ")),
      code: plain(code.replace(/^.*\b(from \S+ )?import .*$/gm, " ")),
    }
    section.said = flat([section.title, about, section.text, section.code].join(" / "))
    const list = LISTS.test(address)
    const fields = { about, [location === address ? "title" : "heads"]: section.title, [list ? "code" : "text"]: section.text }
    for (const [field, text] of Object.entries({ code: list ? section.text : section.code, ...fields })) {
      for (const { word } of wordsOf(text)) {
        if (!index.has(word)) index.set(word, new Map())
        const places = index.get(word)
        if (!places.has(id)) places.set(id, {})
        places.get(id)[field] = (places.get(id)[field] ?? 0) + 1
      }
    }
    return section
  })
}

/* The words of this site that a term of a query may stand for, each with what it is worth. */
function wordsFor({ words, also }, last) {
  const found = new Map([...also.map(word => [word, OTHER_NAME]), ...words.map(word => [word, 1])])
  const [word] = words
  if (HAN.test(word) || word.length < 2) return found
  const near = [...index.keys()].filter(other => other[0] === word[0] && !found.has(other))
  if (last) for (const other of near) if (other.startsWith(word)) found.set(other, LONGER)
  if (word.length > 4 && ![...found.keys()].some(word => index.has(word)))
    for (const other of near) if (slips(word, other) <= (word.length > 6 ? 2 : 1)) found.set(other, SLIP)
  return found
}

/* How many letters one must add, drop or change to make one word of another. */
function slips(one, other) {
  if (Math.abs(one.length - other.length) > 2) return Infinity
  let row = Array.from({ length: other.length + 1 }, (_, i) => i)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++)
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (one[i - 1] !== other[j - 1])))
    row = next
  }
  return row.at(-1)
}

/* All pages that have a word of the query, the best first. */
function rank(query) {
  const terms = termsOf(query, word => index.has(word) || [...index.keys()].some(longer => longer.startsWith(word)))
  const inSections = new Map(), inPages = new Map()    // where each term stands, and how often
  terms.forEach((term, i) => {
    term.found = new Set()
    for (const [word, worth] of wordsFor(term, term === terms.at(-1))) {
      for (const [id, fields] of index.get(word) ?? []) {
        term.found.add(word)
        for (const [all, key] of [[inSections, id], [inPages, sections[id].address]]) {
          if (!all.has(key)) all.set(key, [])
          const place = all.get(key)[i] ??= {}
          for (const field in fields) place[field] = (place[field] ?? 0) + worth * fields[field]
        }
      }
    }
  })
  weigh(terms, inSections)

  const total = sum(terms.map(({ weight }) => weight))
  const of = what => places => sum(terms.map(({ weight }, i) => places[i] ? weight * what(places[i]) : 0)) / total
  const score = of(place => sum(Object.entries(place).map(([field, times]) => FIELDS[field][0] * times / (times + FIELDS[field][1]))))
  const share = of(({ title = 0, about = 0, heads = 0, text = 0, code = 0 }) =>
    Math.min(1, title + about + heads + text / (text + 1) + 0.3 * code / (code + 1)))
  const known = of(() => 1)

  const said = saidOf(query)
  const items = new Map(Array.from(inPages.keys(), address => [address, []]))
  for (const [id, places] of inSections) {
    const found = new Set(terms.filter((_, i) => places[i]).map(term => term.of))
    const ownScore = score(places) * share(places) * (1 + TYPED * said(id))
    items.get(sections[id].address).push({ section: sections[id], found, share: share(places), score: ownScore })
  }
  return Array.from(inPages, ([address, places]) => {
    const own = items.get(address).sort((a, b) => b.score - a.score)
    const kept = share(places) * Math.sqrt(own[0].share) * (LISTS.test(address) ? LIST : 1)
    return { address, terms, items: own, known: known(places), score: kept * (score(places) + own[0].score) }
  }).sort((a, b) => b.score - a.score)
}

/* A rare word tells more. But a pair of Han characters that is rarer than both its neighbors, which it
   overlaps, most likely runs from one word into the next: 池打 in 连接池打满. */
function weigh(terms, inSections) {
  terms.forEach((term, i) => {
    const having = [...inSections.values()].filter(places => places[i]).length
    const places = [...term.found].flatMap(word => [...index.get(word).values()])
    const matter = places.some(({ title, about, heads, code }) => title || about || heads || code)
    term.rare = having && Math.log(1 + sections.length / having) * (matter ? 1 : PROSE)
  })
  terms.forEach((term, i) => {
    const han = HAN.test(term.text)
    const [before, after] = [terms[i - 1], terms[i + 1]].map(other => han && other?.of === term.of ? other.rare : 0)
    const across = before && after && term.rare > Math.max(before, after)
    term.weight = term.rare && !across ? Math.min(term.rare, han ? RARE : Infinity) : UNKNOWN[+han]
  })
}

/* How much of a query a section has just as it was typed: of its stretches of three words or four Han
   characters, and those that few sections have weigh more. */
function saidOf(query) {
  const text = flat(told(query))
  const tokens = Array.from(text.matchAll(/\p{Script=Han}|[^\s\p{Script=Han}]+/gu), ({ 0: token, index }) =>
    ({ start: index, end: index + token.length, size: HAN.test(token) ? 3 : 4 }))
  const stretches = new Map()
  tokens.forEach(({ start }, i) => {
    let size = 0
    const last = tokens.slice(i).find(token => (size += token.size) >= 12) ?? (i || tokens.length < 2 ? null : tokens.at(-1))
    if (last) stretches.set(text.slice(start, last.end), new Set())
  })
  for (const [stretch, having] of stretches) for (const { id, said } of sections) if (said.includes(stretch)) having.add(id)
  const weighed = Array.from(stretches.values(), having => ({ having, weight: Math.log(1 + sections.length / (1 + having.size)) }))
  const total = sum(weighed.map(({ weight }) => weight))
  return id => total && sum(weighed.map(({ having, weight }) => having.has(id) ? weight : 0)) / total
}

function search(query) {
  if (!query.trim()) return { items: [] }
  const pages = rank(query)
  if (!pages.some(page => page.known >= NEAR)) return { items: DOORS.map(door), found: "nothing" }
  return { items: pages.filter(page => page.score >= pages[0].score * SHOWN).map(drawn) }
}

/* For what is not on this site: the home page's table of errors and questions, and where to look next. */
function door(place) {
  const both = sections.filter(({ location }) => location === place || location === place.split("#")[0])
  return both.map(({ location, title, text }) => ({ location, title: safe(title), text: safe(text.slice(0, TEASER)), score: 1, terms: {} }))
}

/* A page as Material draws it: its sections, those of the highest score unfolded. */
function drawn({ address, items, terms }) {
  const words = new Set(terms.flatMap(term => [...term.found]))
  const asked = new Set(terms.map(term => term.of))
  const best = items.find(({ section }) => section.location !== address)?.score
  let unfolded = 0
  const found = items.slice(0, SECTIONS).map(({ section, found, score }) => ({
    location: section.location,
    title: marked(section.title, words),
    text: teaser(section, words),
    score: +(section.location === address || score > best / 3 && unfolded++ < UNFOLDED),
    terms: asked.size > SENTENCE ? {} : Object.fromEntries(Array.from(asked, text => [text, found.has(text)])),
  }))
  if (found.some(item => item.location === address)) return found
  const { title } = sections.find(section => section.location === address)
  return [...found, { location: address, title: marked(title, words), text: "", score: 1, terms: {} }]
}

/* Where the words of a query stand in a text. */
const cut = new Map()
function spans(text, words) {
  if (!cut.has(text)) cut.set(text, [...wordsOf(text)])
  return cut.get(text).filter(({ word }) => words.has(word))
}

function marked(text, words) {
  let html = "", done = 0
  for (const { start, end } of spans(text, words).sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (end <= done) continue
    html += safe(text.slice(done, start)) + `<mark>${safe(text.slice(Math.max(start, done), end))}</mark>`
    done = end
  }
  return (html + safe(text.slice(done))).replaceAll("</mark><mark>", "")
}

/* The stretch of a section that says most of the query: of its prose, or if that says nothing of its code. */
function teaser({ text, code }, words) {
  const inText = spans(text, words), inCode = inText.length ? [] : spans(code, words)
  const [whole, found] = inCode.length ? [code, inCode] : [text || code, inText]
  let best = { start: 0, said: 0 }
  found.forEach(({ start }, first) => {
    const said = new Set()
    for (let i = first; i < found.length && found[i].end <= start + TEASER; i++) said.add(found[i].word)
    if (said.size > best.said) best = { start, said: said.size }
  })
  const lead = whole.slice(Math.max(0, best.start - 20), best.start)
  const start = best.start - (best.start > 20 ? lead.replace(/^[^\s\p{Script=Han}]*/u, "") : lead).length
  const end = start + whole.slice(start, start + TEASER).replace(whole.length > start + TEASER ? /[\w.]*$/ : "", "").length
  return (start ? "…" : "") + marked(whole.slice(start, end), words) + (end < whole.length ? "…" : "")
}

/* Once; after a failure, again with the next letter. */
let loading
const loaded = () => loading ??= fetch("../../search/search_index.json").then(response => response.json()).then(load)
  .catch(error => { loading = null; throw error })

loaded().catch(() => {}).then(() => postMessage({ type: READY }))
addEventListener("message", async ({ data: { type, data } }) => {
  if (type !== QUERY) return
  postMessage({ type: RESULT, data: await loaded().then(() => search(data), () => ({ items: [], found: "not loaded" })) })
})
