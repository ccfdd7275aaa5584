"""Judging over HTTP: what comes in, who judges it, which version is in charge, what is counted."""
