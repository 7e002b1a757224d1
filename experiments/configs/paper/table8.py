"""Table 8: PRO of DDAD-10 on VisA by category.

Data: VisA, 12 categories
Command: python -m experiments.paper --table=8 --data=/path/to/VisA --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; needs the weights of WideResNet-101 (--backbone_weights), or --backbone=efficientnet_lite0. cpu: about 20
  minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, TableLine

TABLE = Table("8", (TableBlock("8", (TableLine("DDAD-10"),)),))

get_config = TABLE.config
