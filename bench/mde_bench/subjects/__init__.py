"""Subjects, one file each: `open_subject(**options)` gives a `mde_bench.timing.candidates.Subject`."""
