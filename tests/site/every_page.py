"""Every page of the site, and what is tried on each, as on the steps of a replay."""

from pathlib import Path

from tools.site.pages import pages

SHIFT = 0.01
"""What may move of what is painted: a tenth of the layout shift that counts as good."""
WATCH_SHIFTS = """
    window.shift = 0, window.moved = []
    new PerformanceObserver(list => list.getEntries().forEach(entry => {
        window.shift += entry.value
        window.moved.push(...entry.sources.map(({ node }) => node?.textContent.trim().slice(0, 30)))
    })).observe({ type: "layout-shift", buffered: true })
"""
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter(element => element.getBoundingClientRect().right > innerWidth)
    .filter(element => element.checkVisibility())
    .filter(element => !element.closest("pre, .md-typeset__scrollwrap, .md-sidebar, .md-search"))
    .map(element => `${element.tagName} ${element.className}`)"""
AXE = (Path(__file__).parent / "vendor" / "axe.js").read_text("utf-8")
BARRIERS = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"], elementRef: false })
    return found.violations.map(({ id, help, nodes }) =>
        `${id}: ${help}, at ${nodes.slice(0, 3).map(node => node.target.join(" ")).join(" and ")}`)
}"""
CUT_TEXTS = """() => [...document.querySelectorAll(".picture svg")].flatMap(svg => {
    const frame = svg.getBoundingClientRect()
    return [...svg.querySelectorAll("text")].filter(text => {
        const box = text.getBoundingClientRect()
        const room = box.height / 5 // above and below the letters of a line
        return box.left < frame.left - 1 || box.right > frame.right + 1
            || box.top < frame.top - room || box.bottom > frame.bottom + room
    }).map(text => text.textContent)
})"""
BROKEN_NAMES = """() => [...document.querySelectorAll("td code")]
    .filter(code => !/\\s/.test(code.textContent) && code.getClientRects().length > 1)
    .map(code => code.textContent)"""
STRAY_CHARACTERS = """() => {
    const lines_of = heading => {
        const lines = [], texts = document.createTreeWalker(heading, NodeFilter.SHOW_TEXT)
        const range = document.createRange()
        let bottom = -Infinity
        while (texts.nextNode()) {
            const text = texts.currentNode
            if (text.parentElement.matches(".headerlink")) continue
            for (let at = 0; at < text.length; at++) {
                range.setStart(text, at)
                range.setEnd(text, at + 1)
                const box = range.getBoundingClientRect()
                if ((box.top + box.bottom) / 2 > bottom) lines.push("")
                bottom = Math.max(bottom, box.bottom)
                lines.push(lines.pop() + text.data[at])
            }
        }
        return lines
    }
    const strays = line => /^[，。：；、？！」]|^.?$/.test(line.trim())
    return [...document.querySelectorAll(":lang(zh) .md-content :is(h1, h2, h3)")]
        .map(lines_of).filter(lines => lines.slice(1).some(strays)).map(lines => lines.join(" / "))
}"""
"""Headings with a line that begins with a closing mark, or is one character."""
TIGHT_SUMMARIES = """() => [...document.querySelectorAll(".picture summary")].filter(summary => {
    const range = document.createRange()
    range.selectNodeContents(summary)
    const icon = parseFloat(getComputedStyle(summary, "::after").width)
    return summary.getBoundingClientRect().right - range.getBoundingClientRect().right < icon * 1.2
}).map(summary => summary.textContent)"""


def addresses() -> list[str]:
    """Each page's place on the site, `en/pool/size/`."""
    return [
        ("en/" if language == "en" else "") + page.name.removesuffix("index.md").replace(".md", "/")
        for language in ("zh", "en")
        for page in pages(language)
    ]
