"""Table 1: image and pixel AUROC of DDAD-10 and DDAD-S-10 on MVTec AD.

Data: MVTec AD, 15 categories
Command: python -m experiments.paper --table=1 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; twice, for DDAD and DDAD-S; needs the weights of WideResNet-101 (--backbone_weights), or
  --backbone=efficientnet_lite0. cpu: twice about 20 minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, TableLine

TABLE = Table("1", (TableBlock("1", (TableLine("DDAD-S-10", network="ddad_s"), TableLine("DDAD-10"))),))

get_config = TABLE.config
