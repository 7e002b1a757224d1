"""Table 14: weight v = 5 to 8 of the pixel distance on VisA.

Data: VisA, 12 categories
Command: python -m experiments.paper --table=14 --data=/path/to/VisA --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; v costs next to nothing; needs the weights of WideResNet-101 (--backbone_weights), or
  --backbone=efficientnet_lite0. cpu: about 20 minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, TableLine

V = tuple(TableLine(f"v = {v} ({metric})", point={"v": v}) for v in (5.0, 6.0, 7.0, 8.0) for metric in ("AUROC", "PRO"))
TABLE = Table("14", (TableBlock("14", V),))

get_config = TABLE.config
