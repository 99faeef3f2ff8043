"""The layouts that data sets come in: one file and one row each. Light to load: --help shows the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayoutRow:
    """A row of the table: the module that has `matches(root)`, `splits(root)` and `open_split(root, split)`."""

    module: str
    help: str  # how it lies on disk
    protocol: str = "plain"  # by which accuracy is judged where none is named


# The first that matches is taken: those that say what they are come first, those known by folder names alone last.
LAYOUTS = {
    "folders": LayoutRow(
        "mde_train.data.layouts.folders",
        'layout.json: {"frames": FOLDER, "depth": FOLDER, "metres_per_unit": 0.001}; in each folder train, val, test, '
        "or the files themselves: .png .jpg, depth .png .npy",
    ),
    "nyu-csv": LayoutRow(
        "mde_train.data.layouts.nyu_csv",
        "data/nyu2_train.csv and data/nyu2_test.csv: 8-bit depth to 10 m, 16-bit depth in mm",
        "nyu",
    ),
    "nyu-mat": LayoutRow("mde_train.data.layouts.nyu_mat", "nyu_depth_v2_labeled.mat and splits.mat", "nyu"),
    "kitti": LayoutRow(
        "mde_train.data.layouts.kitti",
        "{train,val,test}_files.txt: `image depth [focal]` or `drive index side`, depth / 256",
        "kitti",
    ),
    "unreal": LayoutRow(
        "mde_train.data.layouts.unreal",
        "rgb/{train,val}/N.jpeg with depth/{train,val}/N.npy, float32 metres",
        "seed",
    ),
    "guessed": LayoutRow(
        "mde_train.data.layouts.guessed",
        "no layout.json: a folder of colour pictures, and one of 16-bit PNG (mm) or float .npy (m) with the same names",
    ),
}
