"""Fuzzing of every reader of files: mutants of sound files are read rightly or refused by name, and soon.

`readers` has the table, `corpus` the sound and the odd files, `mutants` what is done to them, `worker` reads one mutant
after the other in a process of its own, and `watch` sees it crash or hang.
"""
