"""Table 5: image AUROC, pixel AUROC, PRO and time per image of DDAD-5, 10 and 25 and DDAD-S-10 on MVTec AD.

Data: MVTec AD, 15 categories
Command: python -m experiments.paper --table=5 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; twice, for DDAD and DDAD-S; needs the weights of WideResNet-101 (--backbone_weights), or
  --backbone=efficientnet_lite0. cpu: twice about 20 minutes a category on two cores, 15 of them training.

Times are those of the machine it runs on, in batches, compilation apart: see experiments.benchmark for more about time.
"""

from experiments.papers.table import Table, TableBlock, by_steps

TABLE = Table("5", (TableBlock("5", by_steps()),))

get_config = TABLE.config
