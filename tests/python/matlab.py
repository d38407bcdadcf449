"""Writes sets in SVHN's layout with scipy into the folders `packed`, `plain` and `old` of the folder given."""

import sys
from pathlib import Path

import numpy as np
from scipy.io import savemat


def images(count, first):
    """Images [image, row, column, channel] in which no two axes look alike."""
    n, row, column, channel = np.meshgrid(
        np.arange(first, first + count), np.arange(32), np.arange(32), np.arange(3), indexing="ij"
    )
    return (n * 101 + row * 7 + column * 3 + channel * 50).astype(np.uint8)


def write(folder, compressed, version, label_type):
    folder.mkdir()
    for name, count, first in [("train", 7, 0), ("test", 4, 7), ("extra", 5, 11)]:
        # As published: X is [row, column, channel, image], y a column of labels from 1 to 10.
        content = {
            "X": images(count, first).transpose(1, 2, 3, 0),
            "y": (np.arange(first, first + count) % 10 + 1).astype(label_type)[:, None],
        }
        if version == "4":
            content = {"y": content["y"]}
        savemat(folder / f"{name}_32x32.mat", content, do_compression=compressed, format=version)


root = Path(sys.argv[1])
write(root / "packed", True, "5", np.uint8)
write(root / "plain", False, "5", np.float64)
write(root / "old", False, "4", np.float64)
