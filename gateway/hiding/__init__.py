"""Everything that keeps values from being shown: secrets of the file, and what a source redacts."""
