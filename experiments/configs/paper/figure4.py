"""Figure 4: what each part of the method adds on MVTec AD: conditioning, adaptation, both distances.

Data: MVTec AD, 15 categories
Command: python -m experiments.paper --table=figure4 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; needs the weights of WideResNet-101 (--backbone_weights), or --backbone=efficientnet_lite0. cpu: about 20
  minutes a category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, parts_of_the_method

TABLE = Table("figure4", (TableBlock("figure4", parts_of_the_method()),))

get_config = TABLE.config
