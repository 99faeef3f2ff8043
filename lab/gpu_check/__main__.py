"""`python -m lab.gpu_check`."""

from lab.gpu_check.cli import main

if __name__ == "__main__":  # not in the processes that the bench spawns, which import this module again
    main(prog_name="gpu-check")
