"""The calculator of sizing/arithmetic, in the browser and against the server it speaks of."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.site.conftest import OpenPage
from tools.paths import DOCS
from tools.postgres import EmbeddedPostgres

PAGE = "sizing/arithmetic/"
PATHS = {"zh": PAGE, "en": f"en/{PAGE}"}
OPENS = {"zh": "最多打开：", "en": "Opens at most: "}
EXAMPLE = re.compile(
    r"^\| (\d+) − (\d+) − (\d+) = (\d+) \| (\d+) \+ (\d+) \| (\d+) × (\d+)"
    r" \| (?:(\d+) \+ (\d+)|.+) \| (\d+) \|$",
    re.MULTILINE,
)
"""A row of the page's worked examples."""

each_language = pytest.mark.parametrize("language", PATHS)


def asked(path: str, **values: object) -> str:
    """The page's address with these numbers in the form."""
    return f"{path}?{urlencode(values)}"


def result(page: Page) -> Locator:
    """What the calculator says, which assistive technology reads out."""
    return page.get_by_role("status")


def printed(page: Page) -> Locator:
    """The configuration to copy."""
    return page.locator(".calculator pre code")


def number(page: Page, name: str) -> Locator:
    """The field of that name."""
    return page.locator(f".calculator input[name={name}]")


@each_language
def test_the_worked_examples_are_what_the_calculator_says(
    open_page: OpenPage, address: str, language: str
) -> None:
    text = (DOCS / language / "sizing" / "arithmetic.md").read_text("utf-8")
    examples = EXAMPLE.findall(text)
    assert len(examples) == 5
    page = open_page(PATHS[language])
    for *numbers, size, overflow, at_most in examples:
        most, reserved, others, free, pods, deploy, processes, engines = numbers
        names = ["max_connections", "reserved", "others", "pods", "deploy", "processes", "engines"]
        given = (most, reserved, others, pods, deploy, processes, engines)
        page.goto(address + asked(PATHS[language], **dict(zip(names, given, strict=True))))
        expect(result(page)).to_contain_text(f"{most} − {reserved} − {others} = {free}")
        if size:
            pool = f"pool_size={size}, max_overflow={overflow}"
            expect(printed(page)).to_have_text(f"create_async_engine(url, {pool})")
            expect(result(page).locator("p").last).to_have_text(re.compile(rf"= {at_most}$"))
        else:
            expect(printed(page)).to_be_hidden()


@each_language
def test_the_page_begins_with_a_sum_of_the_calculator(open_page: OpenPage, language: str) -> None:
    service = {"pods": 2, "processes": 4, "pool_size": 10, "max_overflow": 20}
    page = open_page(asked(PATHS[language], **service, deploy=0))
    expect(result(page)).to_contain_text(f"{OPENS[language]}(2 + 0) × 4 × 1 × (10 + 20) = 240")
    expect(page.locator("article")).to_contain_text("2 × 4 × 1 × (10 + 20) = 240")
    number(page, "deploy").fill("100%")
    expect(result(page)).to_contain_text("(2 + 2) × 4 × 1 × (10 + 20) = 480")


@each_language
def test_the_keyboard_is_enough(open_page: OpenPage, language: str) -> None:
    page = open_page(PATHS[language])
    verdict = result(page).locator("p").first
    expect(verdict).to_contain_text("153")
    number(page, "pods").focus()
    page.keyboard.press("ArrowDown")
    expect(verdict).to_contain_text("33")
    page.keyboard.press("Tab")
    page.keyboard.type("0")
    expect(page.locator(".calculator")).to_have_attribute("data-verdict", "fits")
    expect(verdict).to_contain_text("27")
    page.keyboard.press("Enter")
    assert parse_qs(urlsplit(page.url).query)["deploy"] == ["0"]


@each_language
def test_the_address_carries_the_numbers_into_the_other_language(
    open_page: OpenPage, language: str
) -> None:
    page = open_page(PATHS[language])
    number(page, "max_connections").fill("321")
    number(page, "deploy").fill("25%")
    number(page, "deploy").blur()
    shared = page.url
    page.goto(shared)
    expect(number(page, "max_connections")).to_have_value("321")
    expect(page.locator("#calculator")).to_be_in_viewport()
    page.locator("a.switch").click()
    expect(number(page, "max_connections")).to_have_value("321")
    expect(number(page, "deploy")).to_have_value("25%")


def test_the_way_back_leads_off_the_page(open_page: OpenPage, address: str) -> None:
    page = open_page("")
    page.goto(address + PAGE)
    for pods in ("3", "4", "5"):
        number(page, "pods").fill(pods)
        number(page, "pods").blur()
    page.go_back()
    expect(page).to_have_url(address)
    page.go_forward()
    expect(number(page, "pods")).to_have_value("5")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("pods", "", "“Pods or machines” must be a whole number, 1 or more."),
        ("pool_size", "0", "“pool_size now” must be a whole number, 1 or more."),
        ("max_overflow", "-1", "“max_overflow now” must be a whole number, 0 or more."),
        ("deploy", "25 %", "must be a whole number or a percentage, such as 1 or 25%."),
    ],
)
def test_a_number_that_makes_no_sense_is_one_sentence(
    open_page: OpenPage, name: str, value: str, sentence: str
) -> None:
    page = open_page(PATHS["en"])
    number(page, name).fill(value)
    expect(result(page)).to_contain_text(sentence)
    expect(number(page, name)).to_have_attribute("aria-invalid", "true")
    expect(printed(page)).to_be_hidden()
    number(page, name).fill("2")
    expect(number(page, name)).to_have_attribute("aria-invalid", "false")
    expect(printed(page)).to_be_visible()


@each_language
def test_without_javascript_there_is_the_formula_and_no_dead_form(
    open_page: OpenPage, language: str
) -> None:
    page = open_page(PATHS[language], java_script_enabled=False)
    expect(page.locator("article").get_by_text("× (pool_size + max_overflow)")).to_be_visible()
    expect(page.locator("article table").first).to_be_visible()
    expect(page.locator("article :is(input, button, output):visible")).to_have_count(0)


def test_only_its_page_asks_for_the_calculator(open_page: OpenPage) -> None:
    asked_for = (
        "performance.getEntriesByType('resource').filter(r => /calculator/.test(r.name)).length"
    )
    assert open_page(PAGE).evaluate(asked_for) == 1
    assert open_page("pool/size/").evaluate(asked_for) == 0


# Against a server

ROLE = """
import asyncio, os
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

async def main():
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.execute(text("CREATE ROLE guest LOGIN PASSWORD 'tea'"))
    await engine.dispose()

asyncio.run(main())
"""
PROCESS = """
import asyncio, os, sys
from contextlib import AsyncExitStack
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

url = make_url(os.environ["DATABASE_URL"]).set(username="guest", password="tea")

async def main():
    engines = [{configuration} for _ in range({engines})]
    async with AsyncExitStack() as lent:
        said = "everybody has a connection"
        try:
            for engine in engines:
                for _ in range(engine.pool.size() + engine.pool._max_overflow):
                    await lent.enter_async_context(engine.connect())
        except Exception as error:
            said = getattr(error, "orig", error).sqlstate
        print(said, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    for engine in engines:
        await engine.dispose()

asyncio.run(main())
"""


@contextmanager
def service(url: str, processes: int, engines: int, configuration: str) -> Iterator[list[str]]:
    """Real processes that borrow all their pools can lend; what each says, while they hold it."""
    program = PROCESS.format(configuration=configuration, engines=engines)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "DATABASE_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for _ in range(processes)
    ]
    try:
        yield [process.stdout.readline().strip() for process in running if process.stdout]
    finally:
        for process in running:
            process.communicate("done\n")


@pytest.mark.parametrize(
    ("settings", "form", "processes"),
    [
        (
            {"max_connections": "14", "superuser_reserved_connections": "3"},
            {"max_connections": 14, "reserved": 3, "others": 1, "pods": 1, "processes": 1},
            2,  # the second is of the deployment
        ),
        (
            {
                "max_connections": "22",
                "superuser_reserved_connections": "3",
                "reserved_connections": "2",
            },
            {
                "max_connections": 22,
                "reserved": 5,
                "others": 1,
                "pods": 1,
                "deploy": 0,
                "processes": 2,
                "engines": 2,
            },
            2,
        ),
    ],
    ids=["deployment", "two engines"],
)
def test_what_it_prints_fits_into_a_real_server_and_one_more_does_not(
    open_page: OpenPage, settings: dict[str, str], form: dict[str, int], processes: int
) -> None:
    configuration = printed(open_page(asked(PAGE, **form))).inner_text()
    one_more = re.sub(r"\d+(?=\)$)", lambda found: str(int(found[0]) + 1), configuration)
    assert one_more != configuration
    engines = form.get("engines", 1)
    everybody = "everybody has a connection"
    with EmbeddedPostgres(18, **settings) as server:
        environment = {**os.environ, "DATABASE_URL": server.url()}
        subprocess.run([sys.executable, "-c", ROLE], env=environment, check=True)
        with service(server.url(), processes, engines, configuration) as said:
            assert said == [everybody] * processes
            migration = "create_async_engine(url, pool_size=1, max_overflow=0)"
            with service(server.url(), 1, 1, migration) as for_others:
                assert for_others == [everybody]
        with service(server.url(), processes, engines, one_more) as said:
            assert "53300" in said
