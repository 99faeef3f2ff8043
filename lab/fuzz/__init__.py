"""Fuzzing of every reader of files: mutants of sound files are read rightly or refused by name, and soon.

`readers` has the table, `corpus` the sound and the odd files, `edits` what is done to them and `mutants` how hypothesis
draws that. `search` runs hypothesis, `watch` has a worker and sees it crash or hang, `worker` is that process.
"""
