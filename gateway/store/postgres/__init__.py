"""The store of many replicas: one PostgreSQL database, asyncpg, no process of its own."""
