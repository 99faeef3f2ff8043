"""The machine under the bench: its conditions, its peaks, and what a graph asks of it."""
