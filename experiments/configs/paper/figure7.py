"""Figure 7: image AUROC over the epochs of adaptation, with and without the distillation loss.

Data: MVTec AD, the categories pill and screw unless others are named
Command: python -m experiments.paper --table=figure7 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; two adaptations of 12 epochs a category, a checkpoint and a score an epoch; needs the weights of WideResNet-101
  (--backbone_weights), or --backbone=efficientnet_lite0. cpu: about 30 minutes a category on two cores.

The curves look at test labels after every epoch: they show a course and choose nothing.
"""

from experiments.papers.table import Table, TableBlock, TableLine

EVERY = {"adapt.epochs": 12, "adapt.patience": 0, "adapt.choose": "last"}
CURVES = (
    TableLine("with distillation loss", made={**EVERY, "adapt.lambda_dl": 0.1}),
    TableLine("without distillation loss", made={**EVERY, "adapt.lambda_dl": 0.0}),
    TableLine("with distillation loss, features alone", made={**EVERY, "adapt.lambda_dl": 0.1}, point={"v": 0.0}),
    TableLine("without distillation loss, features alone", made={**EVERY, "adapt.lambda_dl": 0.0}, point={"v": 0.0}),
)
TABLE = Table("figure7", (TableBlock("figure7", CURVES),))

get_config = TABLE.config
