"""Table 3: image AUROC of DDAD-10 on Magnetic Tile Defects.

Data: Magnetic Tile Defects (MTD), one category, split by picture: the paper's rule, by which most tiles are both
  trained and tested on (experiments/configs/mtd.py says what that does to figures)
Command: python -m experiments.paper --table=3 --data=/path/to/mtd --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; 30,000 steps, for the paper gives no length, w or v for MTD; needs the weights of WideResNet-101
  (--backbone_weights), or --backbone=efficientnet_lite0. cpu: about 45 minutes on two cores, 24 of them training.
"""

from experiments.papers.table import Table, TableBlock, TableLine

TABLE = Table("3", (TableBlock("3", (TableLine("DDAD-10"),)),))

get_config = TABLE.config
