"""Splits of nuScenes: the scenes of each, as numbers and ranges of numbers of scenes.

`train`, `val`, `test` and the `mini` ones are the devkit's (https://github.com/nutonomy/nuscenes-devkit,
python-sdk/nuscenes/utils/splits.py). `verifying` are the 100 training scenes that SLidR (Sautier et al. 2022,
https://github.com/valeoai/SLidR, pretrain/dataloader_nuscenes.py) keeps for choosing settings, and `parametrizing` the
600 others, on which most methods pre-train.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosspoint.scene.datasets.readers import check_skip, read_lines

_SCENES = {
    "train": """
        1-2 4-11 19-34 41-76 120-135 138-139 149-152 154-155 157-168 170-185 187-188 190-196 199-200 202-204 206-214
        218-220 222 224-264 283-306 315-318 321 323-324 328 347-386 388-403 405-408 410-459 461-465 467-469 471-472
        474-480 499-502 504-515 517-518 525-539 541-546 566 568 570-578 580 582-600 639-679 681 683-689 695-698
        700-701 703-719 726-728 730-731 733-741 744 746-747 749-752 757-765 767-769 786-787 789-792 803-806 808-813
        815-817 819-822 847-856 858 860-866 868-873 875-878 880 882-903 945 947 949 952-953 955-961 975-984 988-992
        994-1025 1044-1058 1074-1102 1104-1110
    """,
    "val": """
        3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 632-638 770-771 775
        777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 1059-1073
    """,
    "test": """
        77-91 111-119 140 142-148 265-266 279-282 307-314 333-343 481-498 547-551 601-604 606-624 827-831 833-842
        844-846 932-933 935-943 1026-1043
    """,
    "mini_train": "61 553 655 757 796 1077 1094 1100",
    "mini_val": "103 916",
    "verifying": """
        8-9 19 29 32 42 45 49 52 54 56 66-67 73 131 152 166 168 183 190 194 208 210-211 241 243 248 259-261 287 292
        297 305-306 350 352 358 361 365 368 377 388 391 395 413 427-428 438 444 452-453 459 463-464 475 513 533 544
        575 587 589 642 652 658 669 678 687 701 703 706 710 715 726 735 740 758 786 790 804 806 847 856 868 882 897
        899 976 996 1012 1015-1016 1018 1020 1024 1044 1058 1094 1098 1107
    """,
}
SPLITS = (*_SCENES, "parametrizing")


def split_scenes(split: str) -> set[str]:
    """Names of a split's scenes, such as "scene-0001".

    Args:
        split: one of `SPLITS`, or the path of a text file with a name per line.

    Raises:
        ValueError: if there is no such split and no such file, or the file is empty.
    """
    if split == "parametrizing":
        return split_scenes("train") - split_scenes("verifying")
    if split in _SCENES:
        spans = (span.split("-") for span in _SCENES[split].split())
        return {f"scene-{number:04d}" for span in spans for number in range(int(span[0]), int(span[-1]) + 1)}
    if not Path(split).is_file():
        raise ValueError(
            f"found the split {split!r}, expected one of: {', '.join(SPLITS)}, or a file of scenes' names, one a line"
        )
    names = set(read_lines(Path(split), "names of scenes, one a line"))
    if not names:
        raise ValueError(f"found no scene's name in {split}, expected at least one")
    return names


def choose_scenes(names: Sequence[str], split: str | None, skip: int = 1) -> list[str]:
    """The scenes of a split, thinned as SLidR thins them: the skip-th, the 2 skip-th, … of those in the split.

    Args:
        names: of all scenes there are, in the order of the table.
        split: as in `split_scenes`; None for all.
        skip: 100, 20, 10, 4 and 1 for the customary 1 % (7 of 700 scenes), 5 %, 10 %, 25 % and 100 %.

    Raises:
        ValueError: if no scene is left, or an argument is out of range.
    """
    check_skip(skip)
    chosen = None if split is None else split_scenes(split)
    inside = [name for name in names if chosen is None or name in chosen]
    kept = inside[skip - 1 :: skip]
    if not kept:
        every = f", as skip takes one of {skip}" * (skip > 1)
        raise ValueError(
            f"found {len(inside)} scenes of the split {split!r} among the {len(names)} that are there ({_few(names)}), "
            f"expected at least {skip}{every}: choose another `split`, `version` or `skip`"
        )
    return kept


def _few(names: Sequence[str]) -> str:
    """The first and the last of some names."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]}, …, {names[-1]}"
