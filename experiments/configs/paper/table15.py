"""Table 15: with and without conditioning on VisA, by the pixel distance alone.

Data: VisA, 12 categories
Command: python -m experiments.paper --table=15 --data=/path/to/VisA --size=gpu
Cost: gpu: 4 to 6 hours of training a category (the paper's figure for an RTX 3090), shared by all tables of the data
  set; two reconstructions of every test picture; no weights to download, no adaptation. cpu: about 20 minutes a
  category on two cores, 15 of them training.

With conditioning is at the category's own w; in the small setting of --size=cpu that is 1 everywhere.
"""

from experiments.papers.table import Table, TableBlock, pixels_alone

LINES = tuple(
    line
    for metric in ("AUROC", "PRO")
    for line in (
        pixels_alone(f"without conditioning ({metric})", w=0.0),
        pixels_alone(f"with conditioning ({metric})"),
    )
)
TABLE = Table("15", (TableBlock("15", LINES),))

get_config = TABLE.config
