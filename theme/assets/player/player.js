// The replay of a recorded run, above its code. Fetched when somebody asks to watch, not before.
// Each step of a recording holds the whole state: to show one, no other is needed.

import { draw, move, prepare, summarize, tell, words } from "./picture.js"

const ICONS = {
  before: "M5 5h2v14H5zM19 5v14L8 12z",
  back: "M16 5v14L6 12z",
  play: "M7 4v16l13-8z",
  pause: "M6 5h4v14H6zm8 0h4v14h-4z",
  on: "M8 5v14l10-7z",
  after: "M17 5h2v14h-2zM5 5v14l11-7z",
  link: "M8 7h3v2H8a3 3 0 0 0 0 6h3v2H8A5 5 0 0 1 8 7zm5 0h3a5 5 0 0 1 0 10h-3v-2h3a3 3 0 0 0 0-6h-3zm-5 4h8v2H8z",
  close: "m6 4.6 6 6 6-6L19.4 6l-6 6 6 6-1.4 1.4-6-6-6 6L4.6 18l6-6-6-6z",
}
const SPEEDS = [1, 2, 4, 0.5]

const button = name => `<button name="${name}" title="${words[name]}"><svg viewBox="0 0 24 24"><path d="${ICONS[name]}"/></svg></button>`

class Player {
  at = 0
  speed = 0
  bar = Object.assign(document.createElement("span"), { className: "here" })
  over = new AbortController()
  paper = matchMedia("print")

  constructor(opener, recording) {
    this.recording = prepare(recording)
    this.last = recording.steps.length - 1
    this.prints = [...recording.steps.keys()].filter(i => recording.steps[i].event === "print")
    this.opener = opener
    this.name = /recordings\/(.+)\.json/.exec(opener.dataset.recording)[1]
    this.host = opener.closest(".snippet, .picture")
    this.listing = document.querySelector(`.snippet:has([data-recording$="${this.name}.json"]) pre > code`)
    this.lines = this.listing.textContent.split("\n")
    this.besides = this.host.contains(this.listing)
    this.mount()
    this.listen()
  }

  mount() {
    const root = this.root = document.createElement("section")
    root.className = "player"
    root.tabIndex = -1
    root.ariaLabel = words.region(this.name)
    root.innerHTML = `<p class="said" aria-live="polite"></p><div class="stage" role="img"></div><p class="line"><b></b><code></code></p>`
      + `<div class="keys"><span>${["before", "back", "play", "on", "after"].map(button).join("")}</span>`
      + `<span class="time"><input type="range" max="${this.last}" value="0" aria-label="${words.seek}">`
      + `${this.prints.map(i => `<i style="--at:${i / this.last}"></i>`).join("")}</span><span class="count" role="status"></span>`
      + `<span><button name="speed"></button>${["link", "close"].map(button).join("")}</span></div>`
    for (const part of ["said", "stage", "line", "count"]) this[part] = root.querySelector(`.${part}`)
    this.range = root.querySelector("input")
    this.tune(0)
    if (this.besides) {
      this.listing.parentElement.before(root)
      // the keyboard can scroll it
      this.listing.tabIndex = 0
    } else this.host.append(root)
    this.host.classList.add("watched")
    this.opener.ariaExpanded = true
  }

  listen() {
    const act = {
      before: () => this.go(this.prints.findLast(i => i < this.at) ?? 0),
      back: () => this.go(this.at - 1),
      play: () => this.timer ? this.pause() : this.play(),
      on: () => this.go(this.at + 1),
      after: () => this.go(this.prints.find(i => i > this.at) ?? this.last),
      speed: () => this.tune((this.speed + 1) % SPEEDS.length),
      link: () => this.copyLink(),
      close: () => this.close(),
    }
    this.root.addEventListener("click", ({ target }) => act[target.closest("button")?.name]?.())
    this.range.addEventListener("input", () => this.go(+this.range.value))
    this.root.addEventListener("keydown", event => {
      const pressed = !event.ctrlKey && !event.metaKey && !event.altKey && {
        ArrowRight: event.shiftKey ? act.after : act.on,
        ArrowLeft: event.shiftKey ? act.before : act.back,
        Home: () => this.go(0),
        End: () => this.go(this.last),
        Escape: act.close,
        // a button has its own
        " ": !event.target.closest("button") && act.play,
      }[event.key]
      if (!pressed) return
      event.preventDefault()
      pressed()
    })
    this.paper.addEventListener("change", () => this.show(), this.over)
    let width
    this.sizes = new ResizeObserver(() => width !== (width = this.root.clientWidth) && this.reserve())
    this.sizes.observe(this.root)
  }

  /** Takes as much room as the tallest step needs: nothing below moves while it plays. */
  reserve() {
    for (const part of [this.said, this.stage]) {
      part.style.minHeight = ""
      const heights = this.recording.steps.map(step => (this.fill(step), part.getBoundingClientRect().height))
      part.style.minHeight = `${Math.max(...heights)}px`
    }
    this.host.style.setProperty("--above", `${this.root.offsetHeight}px`)
    this.show()
  }

  fill(step) {
    this.said.innerHTML = tell(this.recording, step)
    this.stage.innerHTML = draw(this.recording, step)
    this.stage.ariaLabel = summarize(step)
  }

  show() {
    // On paper stands how it ended.
    const i = this.paper.matches ? this.last : this.at
    const step = this.recording.steps[i]
    const { line } = step
    move(this.stage, () => this.fill(step))
    this.line.firstChild.textContent = line || ""
    this.line.lastChild.textContent = line ? this.lines[line - 1].trim() : ""
    this.count.textContent = `${i + 1} / ${this.last + 1}`
    this.range.value = i
    this.range.setAttribute("aria-valuetext", words.step(i + 1, this.last + 1))
    if (this.besides) this.mark(line)
  }

  /** Marks a line, in view: the listing scrolls, not the page. A fold that hides it is opened. */
  mark(number) {
    const { bar, listing } = this
    bar.remove()
    listing.normalize()
    if (!number) return
    const texts = document.createTreeWalker(listing, NodeFilter.SHOW_TEXT)
    const start = new Range()
    for (let breaks = number - 1, text; (text = texts.nextNode());) {
      let at = 0
      while (breaks && (at = text.data.indexOf("\n", at) + 1)) breaks--
      if (breaks || at === text.length) continue
      start.setStart(text, at)
      break
    }
    start.insertNode(bar)
    const fold = bar.closest(".fold")?.previousElementSibling
    if (fold?.ariaExpanded === "false") fold.click()
    const { scrollTop, clientHeight } = listing
    if (Math.abs(bar.offsetTop - scrollTop - clientHeight / 2) > clientHeight / 4) listing.scrollTop = bar.offsetTop - clientHeight / 2
  }

  go(i) {
    this.pause()
    this.at = Math.max(0, Math.min(i, this.last))
    this.show()
  }

  play() {
    if (this.at === this.last) this.go(0)
    const wait = () => {
      const said = this.said.textContent
      const read = 900 + 35 * said.length + 50 * said.replace(/[^\u4e00-\u9fff]/g, "").length
      this.timer = setTimeout(() => {
        this.at++
        this.show()
        if (this.at === this.last) this.pause()
        else wait()
      }, read / SPEEDS[this.speed])
    }
    wait()
    this.turn("pause")
  }

  pause() {
    clearTimeout(this.timer)
    this.timer = undefined
    this.turn("play")
  }

  turn(name) {
    const key = this.root.querySelector("[name=play]")
    key.title = words[name]
    key.querySelector("path").setAttribute("d", ICONS[name])
  }

  tune(speed) {
    this.speed = speed
    const key = this.root.querySelector("[name=speed]")
    key.textContent = `${SPEEDS[speed]}×`
    key.title = `${words.speed} ${key.textContent}`
  }

  get hash() {
    return `#watch=${this.name}:${this.at + 1}`
  }

  async copyLink() {
    this.pause()
    history.replaceState(history.state, "", this.hash)
    this.count.textContent = await navigator.clipboard?.writeText(location).then(() => words.copied, () => {}) ?? words.linked
  }

  close() {
    this.pause()
    this.over.abort()
    this.sizes.disconnect()
    this.root.remove()
    this.bar.remove()
    this.host.classList.remove("watched")
    this.opener.ariaExpanded = false
    this.opener.focus()
    open = undefined
  }
}

let styled, open

const style = () => styled ??= new Promise((onload, onerror) => {
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("player.css", import.meta.url), onload, onerror }))
})
const load = async address => {
  const answer = await fetch(address)
  return answer.ok ? answer.json() : Promise.reject(answer.statusText)
}

// The language switch takes the step along.
const other = document.querySelector("a.switch")
other.addEventListener("click", () => open && (other.hash = open.hash))

/** Opens the replay that a button is for; pressed once more it closes it. With a step, counted from 1, it stands there. */
export const watch = async (opener, step) => {
  if (open?.opener === opener && !step) return open.close()
  if (open?.opener !== opener) {
    const [recording] = await Promise.all([load(opener.dataset.recording), style()])
    open?.close()
    open = new Player(opener, recording)
    open.reserve()
    const { top, bottom } = open.root.parentElement.getBoundingClientRect()
    // under the header
    if (top < 50 || bottom > innerHeight) open.root.parentElement.scrollIntoView()
    open.root.querySelector("[name=play]").focus({ preventScroll: true })
  }
  if (step) open.go(step - 1)
  else if (!matchMedia("(prefers-reduced-motion: reduce)").matches) open.play()
}
