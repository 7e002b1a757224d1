"""L1. What is known of the published data sets: where they come from, how to cite them, what their licence allows."""

from typing import NamedTuple

VERSION = "1.0.0"
"""Of the records: what is written and what is read."""


class Facts(NamedTuple):
    """What `tfds.core.DatasetInfo` holds besides the examples."""

    description: str
    homepage: str = ""
    citation: str = ""
    license: str = ""
    categories: tuple[str, ...] = ()


MVTEC = Facts(
    "MVTec AD: photographs of ten objects and five textures, normal ones to learn from, normal and defective ones to "
    "be tested on, with a mask for every defect.",
    "https://www.mvtec.com/company/research/datasets/mvtec-ad",
    """@inproceedings{bergmann2019mvtec,
  title={{MVTec AD} -- A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection},
  author={Bergmann, Paul and Fauser, Michael and Sattlegger, David and Steger, Carsten},
  booktitle={IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages={9584--9592},
  year={2019}
}""",
    "CC BY-NC-SA 4.0, copyright MVTec Software GmbH: not for commercial use.",
    (
        *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"),
        *("pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"),
    ),
)

VISA = Facts(
    "VisA in its one-class split: photographs of twelve objects, among them circuit boards and scenes of several "
    "pieces. Masks hold class numbers of the defects, 0 where there is none.",
    "https://github.com/amazon-science/spot-diff",
    """@inproceedings{zou2022spot,
  title={{SPot-the-Difference} Self-Supervised Pre-training for Anomaly Detection and Segmentation},
  author={Zou, Yang and Jeong, Jongheon and Pemula, Latha and Zhang, Dongqing and Dabeer, Onkar},
  booktitle={European Conference on Computer Vision (ECCV)},
  year={2022}
}""",
    "CC BY 4.0.",
    (
        *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1"),
        *("macaroni2", "pcb1", "pcb2", "pcb3", "pcb4", "pipe_fryum"),
    ),
)

MTD = Facts(
    "Magnetic Tile Defects: 80 % of the defect-free tiles to learn from, or, where the configuration's name begins "
    "with seed, 80 % of the defect-free pictures, as in the DDAD paper; drawn by the seed in that name. The rest and "
    "five kinds of defect to be tested on. Grey, of several sizes.",
    "https://github.com/abin24/Magnetic-tile-defect-datasets.",
    """@article{huang2020surface,
  title={Surface defect saliency of magnetic tile},
  author={Huang, Yibin and Qiu, Congying and Yuan, Kui},
  journal={The Visual Computer},
  volume={36},
  pages={85--96},
  year={2020}
}""",
    "Published without a licence; its authors welcome use and ask to be cited.",
)

CANS = Facts(
    "Rendered printed metal cans on a rotating disk, with dents (shape anomaly) and paint (colour anomaly) and exact "
    "masks; made by this program after the station of Huynh et al. (2025), no photographs.",
    license="As the program that renders them: Apache-2.0.",
)

FOLDER = Facts(
    "Pictures of the user's own in the layout of MVTec AD: train/good, test/good, test/DEFECT, ground_truth/DEFECT.",
    license="That of the pictures.",
)
