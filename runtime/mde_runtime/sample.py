"""The sample: a bundle and a picture that come with the package, so that a first try fetches nothing."""

from pathlib import Path

from mde_runtime.errors import MachineError

# In an installed package beside its modules; in a clone at its root (`package_dir` in setup.cfg).
FOLDERS = (Path(__file__).parent / "samples", Path(__file__).parents[2] / "samples")


def sample() -> tuple[Path, Path]:
    """The bundle and the picture. Raises MachineError where the package was installed without them."""
    for folder in FOLDERS:
        bundle, picture = folder / "fast.mde", folder / "street.jpeg"
        if bundle.exists() and picture.exists():
            return bundle, picture
    raise MachineError(f"{FOLDERS[0]} is missing: somebody removed the sample; install mde-toolchain again")
