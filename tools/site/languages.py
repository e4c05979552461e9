"""The languages of the guide: where each stands, and what it is called where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """One language of the guide."""

    code: str
    """`zh` or `en`: its folder below `docs/`, and Material's name for it."""
    prefix: str
    """Where its pages stand below the address of the site."""
    hreflang: str
    """What search engines call it."""
    config: str
    """Its MkDocs configuration."""


CHINESE = Language("zh", "", "zh-Hans", "mkdocs.yml")
ENGLISH = Language("en", "en/", "en", "mkdocs.en.yml")
LANGUAGES = {language.code: language for language in (CHINESE, ENGLISH)}
HREFLANG = {language.hreflang: language.prefix for language in LANGUAGES.values()} | {
    "x-default": ENGLISH.prefix
}
"""Where each language that search engines know stands; who asks for none of them gets English."""
