"""The registry at the size of a country, on paper: measured unit costs, arithmetic, and one simulated queue."""
