"""A picture that stands for a run has the button of that run."""

from tools.site.replays import add_replays

FIGURE = '<figure class="picture" data-replay="index/four_moments"><svg></svg></figure>'
BUTTON = (
    '<button class="watch" data-recording="../recordings/index/four_moments.json">Watch</button>'
)


def test_a_picture_gets_the_button_of_its_card() -> None:
    other = BUTTON.replace("four_moments", "hundred_sessions")
    page = add_replays(f"{FIGURE}<div>{other}{BUTTON}</div>")
    assert page.count(BUTTON) == 2
    assert page.startswith(FIGURE.replace("<svg>", f"{BUTTON}<svg>"))


def test_without_a_recording_a_picture_is_a_drawing() -> None:
    assert add_replays(FIGURE) == FIGURE
