"""What an event is and what can be asked of it: its payload, its name, paths into it, conditions on it, its trace."""
