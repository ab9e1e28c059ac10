"""Tables as records, and as Markdown, CSV, LaTeX, HTML and on the terminal."""
