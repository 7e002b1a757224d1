"""Table 17: feature extractors on MVTec AD: pretrained, adapted, and adapted with pixels.

Data: MVTec AD, 15 categories
Command: python -m experiments.paper --table=17 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; an adaptation for each extractor; those whose weights are absent (--backbone_weights) are skipped and said so.
  cpu: about 30 minutes a category on two cores.

The rows of EfficientNet-Lite0 are ours: it is the extractor that needs no download.
"""

from experiments.papers.table import Table, TableBlock, extractors

NETWORKS = {"ResNet-50": "resnet50", "WideResNet-50": "wide_resnet50_2"}
TABLE = Table("17", (TableBlock("17", extractors(NETWORKS)),))

get_config = TABLE.config
