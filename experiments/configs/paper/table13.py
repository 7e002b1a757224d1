"""Table 13: weight v = 0.8, 1 and 2 of the pixel distance on MVTec AD.

Data: MVTec AD, 15 categories
Command: python -m experiments.paper --table=13 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; v costs next to nothing; needs the weights of WideResNet-101 (--backbone_weights), or
  --backbone=efficientnet_lite0. cpu: about 20 minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, TableLine

V = tuple(TableLine(f"v = {v}", point={"v": v}) for v in (0.8, 1.0, 2.0))
TABLE = Table("13", (TableBlock("13", V),))

get_config = TABLE.config
