"""Desk: a page in the browser to paint on a shot and see it change; its server, and the children that do the work."""
