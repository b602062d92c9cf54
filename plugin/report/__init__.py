"""Report: the HTML page about a rendered shot, contact sheets, and the picture of a suggestion."""
