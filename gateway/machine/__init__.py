"""The machine underneath: the memory that there is, and links on its disk."""
