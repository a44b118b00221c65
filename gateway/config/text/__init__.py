"""The file as text: YAML with positions, references to the environment, common mistakes, and problems by place."""
