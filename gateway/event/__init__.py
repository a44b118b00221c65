"""What an event is and what can be asked of it: payload, name, paths, conditions, matching and trace."""
