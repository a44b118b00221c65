"""What would happen to an event, without sending anything: for check, test, explain and the console."""
