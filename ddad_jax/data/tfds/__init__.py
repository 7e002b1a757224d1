"""L1. The data sets for tensorflow-datasets: array_record files with random access, without TensorFlow.

Importing this registers ``ddad_mvtec``, ``ddad_visa``, ``ddad_mtd``, ``ddad_cans`` and ``ddad_folder``:

    import tensorflow_datasets as tfds
    import ddad_jax.data.tfds

    builder = tfds.builder("ddad_mvtec/bottle", root="/path/to/mvtec_ad", data_dir="/path/to/records")
    builder.download_and_prepare()
    test = builder.as_data_source("test")  # test[0]["image"]: uint8 [h, w, 3]

`from_tfds` gives the same `DataSet` as the loaders of the files themselves, bit for bit. Only this package needs
tensorflow-datasets; `ddad_jax.data` does not.
"""

from ddad_jax.errors import InputError

try:
    import importlib_resources  # noqa: F401  tensorflow-datasets uses it without asking for it
    import tensorflow_datasets  # noqa: F401
except ImportError as error:
    raise InputError(
        f"tensorflow-datasets cannot be imported ({error}). Install it: pip install 'ddad-jax[datasets]'; "
        "TensorFlow itself is not needed."
    ) from error

from ddad_jax.data.tfds.builders import KINDS, Cans, Folder, Mtd, Mvtec, Visa, builder_of
from ddad_jax.data.tfds.reading import from_tfds, tfds_pictures

__all__ = ["KINDS", "Cans", "Folder", "Mtd", "Mvtec", "Visa", "builder_of", "from_tfds", "tfds_pictures"]
