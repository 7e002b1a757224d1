"""Table 12: conditioning w = 0 to 6 on MVTec AD, by the pixel distance alone.

Data: MVTec AD, 15 categories
Command: python -m experiments.paper --table=12 --data=/path/to/mvtec_ad --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; seven reconstructions of every test picture; no weights to download, no adaptation. cpu: about 20 minutes a
  category on two cores, 15 of them training.
"""

from experiments.papers.table import Table, TableBlock, pixels_alone

W = tuple(pixels_alone(f"w = {w}", w=float(w)) for w in range(7))
TABLE = Table("12", (TableBlock("12", W),))

get_config = TABLE.config
