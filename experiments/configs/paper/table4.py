"""Table 4: PRO of DDAD-10 on MVTec AD and on VisA.

Data: MVTec AD and VisA; either alone fills its half
Command: python -m experiments.paper --table=4 --data=mvtec=/path/to/mvtec_ad,visa=/path/to/VisA --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; needs the weights of WideResNet-101 (--backbone_weights), or --backbone=efficientnet_lite0. cpu: about 20
  minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, TableLine

DDAD = (TableLine("DDAD-10"),)
TABLE = Table("4", (TableBlock("4-mvtec", DDAD), TableBlock("4-visa", DDAD)))

get_config = TABLE.config
