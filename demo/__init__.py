"""The demo: what is asked, who answers, and the page."""
