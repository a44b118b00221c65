"""What a person does to a running gateway: search, replay, discard, pause, reload; and how it is shown."""
