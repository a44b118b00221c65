"""The store of many replicas: a PostgreSQL database."""
