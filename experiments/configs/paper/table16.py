"""Table 16: with and without domain adaptation on VisA, by the feature distance alone.

Data: VisA, 12 categories
Command: python -m experiments.paper --table=16 --data=/path/to/VisA --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; needs the weights of WideResNet-101 (--backbone_weights), or --backbone=efficientnet_lite0. cpu: about 20
  minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import FEATURES, FROZEN, Table, TableBlock, TableLine

LINES = tuple(
    line
    for metric in ("AUROC", "PRO")
    for line in (
        TableLine(f"without adaptation ({metric})", made=FROZEN, point=FEATURES),
        TableLine(f"with adaptation ({metric})", point=FEATURES),
    )
)
TABLE = Table("16", (TableBlock("16", LINES),))

get_config = TABLE.config
