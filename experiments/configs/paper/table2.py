"""Table 2: image and pixel AUROC of DDAD-10 on VisA.

Data: VisA, 12 categories
Command: python -m experiments.paper --table=2 --data=/path/to/VisA --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; needs the weights of WideResNet-101 (--backbone_weights), or --backbone=efficientnet_lite0. cpu: about 20
  minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, TableLine

TABLE = Table("2", (TableBlock("2", (TableLine("DDAD-10"),)),))

get_config = TABLE.config
