"""The documentation site: docs/*.md, the repository's own pages, the commands' help and the Python names."""
