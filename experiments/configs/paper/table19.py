"""Table 19: weight lambda_DL of the distillation loss on MVTec AD.

Data: MVTec AD, 15 categories
Command: python -m experiments.paper --table=19 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; three adaptations a category; needs the weights of WideResNet-101 (--backbone_weights), or
  --backbone=efficientnet_lite0. cpu: about 25 minutes a category on two cores.
"""

from experiments.papers.table import FROZEN, Table, TableBlock, TableLine

LAMBDAS = tuple(TableLine(f"lambda_DL = {x:g}", made={"adapt.lambda_dl": x}) for x in (0.0, 0.1, 0.2))
TABLE = Table("19", (TableBlock("19", (TableLine("without adaptation", made=FROZEN), *LAMBDAS)),))

get_config = TABLE.config
