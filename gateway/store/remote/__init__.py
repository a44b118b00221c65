"""The store of a process that has none itself: the contract over a socket to the process that has."""
