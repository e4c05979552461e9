"""What a replay shows and says: the recording, and nothing else."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.site.conftest import OpenPage
from tests.site.player.replay import (
    FULL,
    LANGUAGES,
    PAGES,
    STUCK,
    OpenReplay,
    Step,
    each_language,
    each_recording,
    find_steps,
    list_steps,
    load,
    opener,
    said,
    walk,
)
from tools.paths import SNIPPETS


@pytest.mark.parametrize(
    ("language", "event", "sentence"),
    [
        ("en", "wait", "all 5 are lent, and whoever holds one is waiting too, so none comes back"),
        ("zh", "wait", "5 个都借出去了，占着连接的自己也在等，所以没有连接归还"),
        ("en", "timeout", "give up: no connection came back in time"),
        ("zh", "timeout", "不等了：时限内没有连接归还"),
    ],
)
def test_it_says_why_five_lock_up(
    open_replay: OpenReplay, language: str, event: str, sentence: str
) -> None:
    of_first_engine = [
        i for i in find_steps(STUCK, event) if list_steps(STUCK)[i - 1]["engine"] == 0
    ]
    page = open_replay(STUCK, max(of_first_engine), language)
    expect(said(page)).to_contain_text(sentence)
    expect(said(page)).to_have_attribute("aria-live", "polite")


SHOWN = """() => {
    const stage = document.querySelector(".stage")
    const find = (selector, root = stage) => [...root.querySelectorAll(selector)]
    const read = element => element.textContent.replace("\\xa0", " ")
    const join = (row, chip) => [read(chip), read(row.querySelector("i"))]
    return {
        said: document.querySelector(".said").textContent,
        lent: find(".lent").map(place => find(".chip, .task", place).map(read)).sort(),
        free: find(".place.free .chip").map(read).sort(),
        waiting: find(".waiting li > .task").map(read).sort(),
        backends: find(".backends li")
            .flatMap(row => find(".chip", row).map(chip => join(row, chip))).sort(),
    }
}"""


def expected(step: Step, tasks: list[str]) -> dict[str, Any]:
    """What `SHOWN` sees if it is what the recording says."""
    pools = step["pools"]
    return {
        "lent": sorted([letter, tasks[task]] for pool in pools for letter, task in pool["lent"]),
        "free": sorted(letter for pool in pools for letter in pool["free"]),
        "waiting": sorted({tasks[task] for pool in pools for task in pool["waiting"]}),
        "backends": sorted([letter, state] for letter, state, _ in step["backends"]),
    }


@each_language
@each_recording
def test_each_step_has_a_sentence_and_shows_what_was_recorded(
    open_replay: OpenReplay, name: str, language: str
) -> None:
    seen = walk(open_replay(name, 1, language), SHOWN)
    sentences = [shown.pop("said") for shown in seen]
    assert seen == [expected(step, load(name)["tasks"]) for step in list_steps(name)]
    assert all(sentences)
    broken = re.compile(r"undefined|null|NaN|false|true|\[object")
    assert not [sentence for sentence in sentences if broken.search(sentence)]


TELL = """async ([address, steps]) => {
    const { prepare, tell } = await import(address + "assets/player/picture.js")
    const engines = [{ name: "engine", size: 1, overflow: 1, pool: "AsyncAdaptedQueuePool" }]
    const tasks = ["main", "guest 1", "guest 2", "guest 3"]
    const recording = prepare({ engines, tasks, steps })
    const element = document.createElement("p")
    return recording.steps.map(step => {
        element.innerHTML = tell(recording, step)
        return element.textContent
    })
}"""
STATE: Step = {"pools": [{"lent": [["A", 0]], "free": ["B"], "waiting": []}], "backends": []}
EVENTS: list[Step] = [
    {"event": "kill", "letters": ["B"]},
    {"event": "kill", "letters": ["D"]},
    {"event": "invalidate", "letters": ["B"]},
    {"event": "detach", "tasks": [0], "letters": ["A"]},
    {"event": "dispose", "tasks": [0]},
    {"event": "begin", "tasks": [0], "letters": ["A"]},
    {"event": "commit", "tasks": [0], "letters": ["A"]},
    {"event": "rollback", "tasks": [0], "letters": ["A"]},
    {"event": "error", "tasks": [0], "text": "a <b> c"},
    {"event": "close", "letters": ["C"]},
    {"event": "checkout", "tasks": [3, 1, 2], "letters": ["A", "C", "B"]},
    {"event": "checkout", "tasks": [0], "letters": ["E"], "text": "SELECT 1"},
    {"event": "dispose", "tasks": [0], "letters": ["A", "E"]},
    {"event": "wait", "tasks": [0]},
    {"event": "end"},
]
SENTENCES = {
    "en": """\
The backend of B is gone; the pool does not know yet
The backend of D is gone
The pool gives B up: it is not lent again
main takes A out of the pool, for good
main disposes the engine
main begins a transaction on A
main commits: the transaction on A ends
main rolls back: the transaction on A ends
main gets an error: a <b> c
The pool closes C: it has 1 free already, and keeps no more
guest 1 to 3 get A to C
main gets E, newly opened, and runs SELECT 1
main disposes the engine: A and E are closed
main waits: all 1 are lent
The program ends""",
    "zh": """\
B 的服务端进程结束了，连接池还不知道
D 的服务端进程结束了
连接池作废 B，不再借出
main 把 A 从连接池里拿走，不再归还
main 释放引擎
main 在 A 上开始事务
main 提交，A 上的事务结束
main 回滚，A 上的事务结束
main 收到错误：a <b> c
连接池关闭 C：空闲的已经有 1 个，不再多留
A～C 借给 guest 1～3
新建的 E 借给 main，执行 SELECT 1
main 释放引擎：A、E 关闭
main 在等：1 个都借出去了
程序结束""",
}


@each_language
def test_each_event_is_a_sentence(open_page: OpenPage, address: str, language: str) -> None:
    page = open_page(LANGUAGES[language])
    steps = [{**STATE, "engine": 0, **event} for event in EVENTS]
    told = page.evaluate(TELL, [address + LANGUAGES[language], steps])
    assert "\n".join(told) == SENTENCES[language]


COLORS = """() => [...document.querySelectorAll(".stage .chip:not(.opening, .dead)")]
    .map(chip => [chip.textContent, getComputedStyle(chip).backgroundColor])"""


def test_a_connection_keeps_letter_and_color_from_birth_to_end(open_replay: OpenReplay) -> None:
    colors = dict[str, set[str]]()
    for chips in walk(open_replay(FULL), COLORS):
        for letter, color in chips:
            colors.setdefault(letter, set()).add(color)
    assert len(colors) == 12
    assert all(len(of_one) == 1 for of_one in colors.values())
    assert len(set.union(*colors.values())) == 12


MARKED = """() => {
    const bar = document.querySelector(".here")
    const code = document.querySelector(".watched pre code")
    if (!bar) return [0, true, code.textContent]
    const before = new Range()
    before.setStart(code, 0)
    before.setEndBefore(bar)
    const [{ top }, box] = [bar.getBoundingClientRect(), code.getBoundingClientRect()]
    const inView = top >= box.top && top <= box.bottom - 20
    return [before.toString().split("\\n").length, inView, code.textContent]
}"""


@pytest.mark.parametrize("width", [320, 1350])
@each_recording
def test_the_line_that_runs_is_marked_and_in_view_and_the_listing_stays_what_it_is(
    open_replay: OpenReplay, name: str, width: int
) -> None:
    page = open_replay(name, viewport={"width": width, "height": 800})
    file = (SNIPPETS / f"{name}.py").read_text("utf-8")
    seen = walk(page, MARKED)
    assert seen == [[step["line"], True, file] for step in list_steps(name)]


FOLD = """([name, line]) => {
    const code = document.querySelector(`.snippet:has([data-recording$="${name}.json"]) code`)
    const lines = code.textContent.split(/(?<=\\n)/)
    const [fold, button] = [document.createElement("span"), document.createElement("button")]
    fold.textContent = lines.splice(line - 1, 3, "").join("")
    fold.className = "fold"
    fold.hidden = true
    button.className = "unfold ours"
    button.ariaExpanded = "false"
    button.onclick = event => {
        event.stopPropagation() // the page has folds of its own
        button.ariaExpanded = "true"
        fold.hidden = false
    }
    const [before, after] = [lines.slice(0, line - 1).join(""), lines.slice(line).join("")]
    code.replaceChildren(before, button, fold, after)
}"""


@pytest.mark.parametrize("before", [0, 1])
def test_a_fold_that_hides_the_line_is_opened(open_page: OpenPage, before: int) -> None:
    page = open_page(f"en/{PAGES[FULL]}")
    line = list_steps(FULL)[0]["line"]
    page.evaluate(FOLD, [FULL, line - before])
    opener(page, FULL).click()
    expect(page.locator(".unfold.ours")).to_have_attribute("aria-expanded", "true")
    assert page.evaluate(MARKED)[:2] == [line, True]
