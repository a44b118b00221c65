"""The language of routes.yaml: every key, where it belongs, and how its value is read."""
