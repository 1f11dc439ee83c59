"""The measurements of docs/performance.md: each figure beside its floor in the same run, because machines differ."""
