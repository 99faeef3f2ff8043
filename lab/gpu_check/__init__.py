"""`make gpu-check`: what only a machine with an NVIDIA GPU can show, as one JSON and Markdown tables.

Independent parts: the tests marked `gpu`, the bench of four networks, the rows of one bundle, long training. A part
that this machine cannot do says why and costs only itself, so on a Jetson without torch the runtime's rows are measured
all the same. On a CPU the same path can be rehearsed, with figures that say nothing.
"""
