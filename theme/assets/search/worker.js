/* The search of one language, behind Material's search box.

   Material's protocol: from here 1 READY and 3 RESULT, from there 2 QUERY. The index is the one its
   search plugin writes, sections of pages as HTML; it is fetched when this worker starts, and that
   is when somebody opens the search. */

importScripts("../vendor/minisearch.js", "words.js")

const READY = 1, QUERY = 2, RESULT = 3
const ENOUGH = 0.5         // how much of a query, by weight, a page must have to be shown at all
const PAGES = 15           // in a result
const SECTIONS = 8         // of a page
const SHOWN = 3            // of them at once; the others fold
const TEASER = 160         // characters
const LISTS = /^(reference|contributing)/   // name everything; a page that explains comes first

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"' }
const plain = html => html.replace(/<\/?(code|su[bp])>/g, "").replace(/<[^>]+>/g, " ").replace(/&#x?27;|&#39;/g, "'")
  .replace(/&(\w+);/g, (entity, name) => ENTITIES[name] ?? entity).replace(/\s+/g, " ").trim()
const safe = text => text.replace(/[&<>"]/g, char => `&#${char.charCodeAt(0)};`)
const flat = text => text.toLowerCase().replace(/[\d\s]+/g, " ").trim()
const sum = numbers => numbers.reduce((total, number) => total + number, 0)

let sections, index

function load({ docs }) {
  const tops = new Map(docs.map(doc => [doc.location, plain(doc.title)]))
  sections = docs.map((doc, id) => {
    const page = doc.location.split("#")[0]
    const code = Array.from(doc.text.matchAll(/<pre>(.*?)<\/pre>/gs), ([block]) => plain(block)).join(" ")
    const text = plain(doc.text.replace(/<pre>.*?<\/pre>/gs, " "))
    return { id, page, location: doc.location, top: tops.get(page) ?? "", title: plain(doc.title), text, code }
  })
  index = new MiniSearch({
    fields: ["top", "title", "text", "code"],
    tokenize: text => Array.from(wordsOf(text), ({ word }) => word),
    processTerm: word => word,
    searchOptions: {
      tokenize: words => words.split(" "),
      boost: { top: 2, title: 4, text: 1, code: 0.4 },
      boostDocument: id => LISTS.test(sections[id].page) ? 0.3 : 1,
    },
  })
  index.addAll(sections)
}

/* Pages with every term of the query, the best first; or, loosely, with most of them. */
function find(query, loose) {
  const terms = termsOf(query, loose)
  const words = [...new Set([...terms.values()].flat())]
  const hits = index.search(words.join(" "), {
    prefix: (word, i) => i === words.length - 1 && /^[a-z]{2}/.test(word),
    fuzzy: word => loose && /^[a-z]{5}/.test(word) && (word.length > 6 ? 2 : 1),
  })

  const weights = new Map(words.map(word => {
    const known = hits.filter(hit => hit.queryTerms.includes(word)).length
    return [word, Math.log(1 + sections.length / (known + 0.5))]
  }))
  const share = found => sum(found.map(word => weights.get(word))) / sum([...weights.values()])

  const pages = new Map()
  for (const hit of hits) {
    const section = sections[hit.id]
    const score = hit.score * share(hit.queryTerms) ** 2 * verbatim(section, flat(query))
    pages.set(section.page, [...pages.get(section.page) ?? [], { section, score, found: hit.queryTerms }])
  }
  const ranked = Array.from(pages.values(), items => {
    items.sort((a, b) => b.score - a.score)
    const covered = share([...new Set(items.flatMap(item => item.found))])
    return { items, covered, score: items[0].score * covered }
  }).sort((a, b) => b.score - a.score)

  const best = Math.max(0, ...ranked.map(page => page.covered))
  const least = loose ? Math.max(ENOUGH, 0.8 * best) : 0.999
  return ranked.filter(page => page.covered >= least).slice(0, PAGES).map(page => result(page.items, terms))
}

/* What a section gains by saying several words just as they were typed: the more, the more. */
function verbatim(section, words) {
  const several = words.match(/[^\s\p{Script=Han}]+|\p{Script=Han}{2}/gu)?.length ?? 0
  if (several < 2) return 1
  if (flat(section.title).includes(words)) return 2 * several
  return flat(section.text).includes(words) || flat(section.code).includes(words) ? several : 1
}

/* A page as Material draws it: its sections, those of the highest score unfolded. */
function result(items, terms) {
  const words = new Set([...terms.values()].flat())
  const drawn = items.slice(0, SECTIONS).map(({ section, found }, i) => ({
    location: section.location,
    title: marked(section.title, words),
    text: teaser(section, words),
    score: i < SHOWN ? items[0].score : items[i].score,
    terms: Object.fromEntries([...terms].map(([term, words]) => [term, words.every(word => found.includes(word))])),
  }))
  const { page } = items[0].section
  if (drawn.some(item => item.location === page)) return drawn
  const top = sections.find(section => section.location === page)
  return [...drawn, { location: page, title: marked(top.title, words), text: "", score: 0, terms: {} }]
}

/* Where the words of a query stand in a text; the word being typed may still lack its end. */
function spans(text, words) {
  const last = [...words].at(-1)
  return [...wordsOf(text)].filter(({ word }) => words.has(word) || /^[a-z]{2}/.test(last) && word.startsWith(last))
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

/* The stretch of a section that says most of the query. */
function teaser({ text, code }, words) {
  const inText = spans(text, words)
  const [whole, found] = inText.length || !code ? [text, inText] : [code, spans(code, words)]
  let best = { start: 0, said: 0 }
  found.forEach(({ start }, first) => {
    const said = new Set()
    for (let i = first; i < found.length && found[i].end <= start + TEASER; i++) said.add(found[i].word)
    if (said.size > best.said) best = { start, said: said.size }
  })
  const start = Math.max(0, best.start - 20), end = Math.min(whole.length, start + TEASER)
  return (start ? "…" : "") + marked(whole.slice(start, end), words) + (end < whole.length ? "…" : "")
}

function search(query) {
  const strict = find(query, false)
  return strict.length ? strict : find(query, true)
}

fetch("../../search/search_index.json").then(response => response.json()).then(data => {
  load(data)
  postMessage({ type: READY })
})
addEventListener("message", ({ data: { type, data } }) => {
  if (type === QUERY) postMessage({ type: RESULT, data: { items: search(data) } })
})
