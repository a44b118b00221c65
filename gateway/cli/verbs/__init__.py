"""The verbs with their options. What a verb does is in the module that it names, loaded on first use."""
