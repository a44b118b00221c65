"""The markup of each chat: how a value becomes inert in it, and which field of a message has which."""
