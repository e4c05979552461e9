"""A picture that stands for a recorded run: it has the button of that run's card."""

import re

_FIGURE = re.compile(r'<figure [^>]*\bdata-replay="([\w/]+)"[^>]*>')


def add_replays(html: str) -> str:
    """Let the pictures of a page be watched: `<figure data-replay="index/four_moments">`.

    A copy of the button at the card of that snippet, if there is one, stands in the figure;
    `theme/assets/player` puts the replay in the place of the drawing.

    Args:
        html: The page, with its snippet cards.
    """

    def add(figure: re.Match[str]) -> str:
        recording = rf'<button [^>]*data-recording="[^"]*recordings/{figure[1]}\.json".*?</button>'
        button = re.search(recording, html)
        return figure[0] + (button[0] if button else "")

    return _FIGURE.sub(add, html)
