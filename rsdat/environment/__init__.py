"""The Python environment of a site: made, checked, removed."""
