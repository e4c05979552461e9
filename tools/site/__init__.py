"""Building the site: the MkDocs hook, the pages, the two languages, the preview."""
