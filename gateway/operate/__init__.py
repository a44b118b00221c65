"""What a person does to a running gateway: find, replay, discard, pause, reload; and how it is shown."""
