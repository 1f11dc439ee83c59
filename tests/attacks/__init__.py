"""Attacks, each of which succeeds if its defence is taken away. docs/security.md says which attack is held where."""
