/* The search of one language, behind Material's search box.

   Material's protocol: from here 1 READY and 3 RESULT, from there 2 QUERY. The index is the one its
   search plugin writes, sections of pages as HTML; it is fetched when this worker starts, and that
   is when somebody opens the search. */

importScripts("../vendor/minisearch.js", "words.js")

const READY = 1, QUERY = 2, RESULT = 3
const ENOUGH = 0.4         // how much of a query, by weight, a page must have to be shown at all
const PAGES = 15           // in a result
const SECTIONS = 8         // of a page
const SHOWN = 3            // of them at once; the others fold
const FEW = 3              // pages
const SENTENCE = 4         // words
const TEASER = 160         // characters
const LISTS = /^(reference\/(snippets|glossary)|contributing)/   // name everything; a page that explains comes first

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
    const { location, about = "" } = doc
    const title = plain(doc.title)
    const said = { title: flat(`${title} ${about}`), text: flat(`${text} ${code}`) }
    return { id, page, location, about, top: tops.get(page) ?? "", title, text, code, said }
  })
  index = new MiniSearch({
    fields: ["top", "about", "title", "text", "code"],
    tokenize: text => Array.from(wordsOf(text), ({ word }) => word),
    processTerm: word => word,
    searchOptions: {
      tokenize: words => words.split(" "),
      boost: { top: 2, about: 3, title: 4, text: 1, code: 0.4 },
      boostDocument: id => LISTS.test(sections[id].page) ? 0.1 : 1,
    },
  })
  index.addAll(sections)
}

/* Of a few words, the pages that have them all come first. Where those are few, or the query is a
   sentence, pages with most of its parts follow. */
function search(query) {
  const full = termsOf(query).size > SENTENCE ? [] : find(query, false)
  const sure = full.filter(page => !page.lists)
  if (sure.length >= FEW) return full.slice(0, PAGES).map(drawn)
  const known = new Set(full.map(page => page.address))
  const rest = find(query, true).filter(page => !known.has(page.address))
  const others = [...full.filter(page => page.lists), ...rest].sort((a, b) => b.score - a.score)
  return [...sure, ...others].slice(0, PAGES).map(drawn)
}

/* Pages with every term of the query, the best first; or, loosely, with most of them. */
function find(query, loose) {
  const terms = termsOf(query, loose)
  const words = [...new Set([...terms.values()].flat())]
  const also = words.map(word => SAME[word]).concat(pairsOf(query)).filter(word => word && !words.includes(word))
  const hits = index.search([...also, ...words].join(" "), {
    prefix: word => word === words.at(-1) && /^[a-z]{2}/.test(word),
    fuzzy: word => loose && /^[a-z]{5}/.test(word) && (word.length > 6 ? 2 : 1),
  })
  const share = shareOf(terms, hits)

  const pages = new Map()
  for (const { id, score, queryTerms: found } of hits) {
    const section = sections[id]
    const item = { section, found, score: score * share(found) ** 2 * verbatim(section, flat(query)) }
    pages.set(section.page, [...pages.get(section.page) ?? [], item])
  }
  const ranked = Array.from(pages, ([address, items]) => {
    items.sort((a, b) => b.score - a.score)
    const found = new Set(items.flatMap(item => item.found))
    const covered = share([...found])
    const score = sum(items.map((item, i) => item.score / 2 ** i)) * covered
    return { address, lists: LISTS.test(address), terms, items, found, covered, score }
  }).sort((a, b) => b.score - a.score)

  const says = page => word => page.found.has(word) || page.found.has(SAME[word])
  if (!loose) return ranked.filter(page => words.every(says(page)))
  return ranked.filter(page => page.covered >= ENOUGH)
}

/* How much of a query some of its words are. A rare word weighs more than a common one, a word that
   is nowhere little: it tells no page from another. Of Han text every character counts, with the
   lighter of the pairs it is in: the heavy ones run across two words. */
function shareOf(terms, hits) {
  const weight = word => {
    const known = hits.filter(hit => hit.queryTerms.includes(word)).length
    if (!known) return isHan(word) ? 0.4 : 1.5
    return Math.min(Math.log(1 + sections.length / known), isHan(word) ? 2 : Infinity)
  }
  const units = [...terms.values()].flatMap(words => {
    if (words.length === 1) return [{ words: [words[0], SAME[words[0]]], weight: 2 * weight(words[0]) }]
    return Array.from({ length: words.length + 1 }, (_, i) => {
      const pairs = words.slice(Math.max(0, i - 1), i + 1)
      return { words: pairs, weight: Math.min(...pairs.map(weight)) }
    })
  })
  const total = sum(units.map(unit => unit.weight))
  return found => sum(units.filter(({ words }) => words.some(word => found.includes(word))).map(unit => unit.weight)) / total
}

/* What a section gains by saying several words just as they were typed: the more, the more. */
function verbatim({ said }, words) {
  const several = words.match(/[^\s\p{Script=Han}]+|\p{Script=Han}{2}/gu)?.length ?? 0
  if (several < 2) return 1
  return said.title.includes(words) ? 2 * several : said.text.includes(words) ? several : 1
}

/* A page as Material draws it: its sections, those of the highest score unfolded. */
function drawn({ address, items, terms }) {
  const words = new Set([...terms.values()].flat())
  const found = items.slice(0, SECTIONS).map(({ section, found, score }, i) => ({
    location: section.location,
    title: marked(section.title, words),
    text: teaser(section, words),
    score: i < SHOWN && score > items[0].score / 4 ? items[0].score : score,
    terms: terms.size > SENTENCE ? {} :
      Object.fromEntries([...terms].map(([term, words]) => [term, words.some(word => found.includes(word))])),
  }))
  if (found.some(item => item.location === address)) return found
  const { title } = sections.find(section => section.location === address)
  return [...found, { location: address, title: marked(title, words), text: "", score: 0, terms: {} }]
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
  const lead = whole.slice(Math.max(0, best.start - 20), best.start)
  const start = best.start - (best.start > 20 ? lead.replace(/^[^\s\p{Script=Han}]*/u, "") : lead).length
  const end = start + whole.slice(start, start + TEASER).replace(whole.length > start + TEASER ? /[\w.]*$/ : "", "").length
  return (start ? "…" : "") + marked(whole.slice(start, end), words) + (end < whole.length ? "…" : "")
}

fetch("../../search/search_index.json").then(response => response.json()).then(data => {
  load(data)
  postMessage({ type: READY })
})
addEventListener("message", ({ data: { type, data } }) => {
  if (type === QUERY) postMessage({ type: RESULT, data: { items: search(data) } })
})
