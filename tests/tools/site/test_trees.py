"""Lists of questions become elements that can be drawn; what is no tree is said in a sentence."""

import pytest

from tools.site.trees import PAGE, Answer, Question, add_trees, read_trees

HEAD = '<h2 id="full">Full</h2>\n<p>It is.</p>\n'
TREE = (
    "<ol>\n<li>Is <code>x</code>? <a href='a#b'>Look</a><ul>\n"
    "<li>Yes: <a href='c#d'>Leak</a></li>\n"
    "<li>No: on to 2</li></ul></li>\n"
    "<li>Who &amp; what?<ul><li>A: <a href='#e'>E</a></li><li>B: <a href='#f'>F</a></li></ul></li>"
    "</ol>"
)


def test_a_list_is_read_as_questions() -> None:
    assert read_trees(HEAD + TREE) == {
        "full": [
            Question("Is x? Look", "a#b", (Answer("Yes: Leak", "c#d"), Answer("No: on to 2", ""))),
            Question("Who & what?", "", (Answer("A: E", "#e"), Answer("B: F", "#f"))),
        ]
    }


def test_each_question_and_answer_gets_an_element_and_the_text_stays() -> None:
    html = add_trees(HEAD + TREE, PAGE)
    assert '<ol class="tree" role="list">' in html
    assert '<li><div>Is <code>x</code>? <a href="a#b">Look</a></div> <ul role="list">' in html
    assert '<li><span>Yes:</span> <a href="c#d">Leak</a></li>' in html
    assert "<li><span>No: on to 2</span> </li>" in html
    assert "<div>Who &amp; what?</div>" in html
    assert html.startswith(HEAD)


def test_other_pages_keep_their_lists() -> None:
    assert add_trees(HEAD + TREE, "pool/size.md") == HEAD + TREE


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("<li>B: <a href='#f'>F</a></li>", "", "#full: question 2 has fewer than two answers"),
        ("<a href='#f'>F</a>", "F", "question 2 is the last one, and “B: F” leads nowhere"),
        ("No: on to 2", "No: <a href='#n'>N</a>", "question 1 has to go on to the next question"),
        ("<a href='c#d'>Leak</a>", "Leak", "question 1 has to go on to the next question"),
        ("Leak</a>", "Leak</a> <a href='x'>X</a>", "question 1 has two links in one line, c#d x"),
        ("Who &amp; what", "Who &what", "#full: its list is no XML"),
    ],
)
def test_what_is_no_tree_is_said(good: str, bad: str, said: str) -> None:
    assert good in TREE
    with pytest.raises(ValueError, match=said):
        add_trees(HEAD + TREE.replace(good, bad), PAGE)
