"""Everything that keeps values from being shown.

Two kinds of values are hidden, each by one class: the secrets of routes.yaml (``masks.Masks``, as ``***``) and what a
source redacts of its events (``redaction.Redaction``, as ``•••``). ``addresses`` and ``requests`` say what of an address
and of a request is a secret of the file; ``spellings``, how else a text may be written.
"""
