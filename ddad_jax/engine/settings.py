"""The settings of a run: one nested config with a default for everything.

Config files in ``experiments/configs`` start from ``base()`` and change what they need. What each may be is in
``ddad_jax/engine/setting_checks.py``.
"""

from ml_collections import ConfigDict

LOCATIONS = ("data.root", "data.category")
"""Where pictures lie, in words: which pictures they are, their fingerprints say (data.json)."""


LABEL_FREE = "fixed without looking at test labels"
"""What a report says of the base settings; a config that knows more of its own says that."""


def base() -> ConfigDict:
    """Defaults a careful engineer would ship, at the papers' size (256 px, DDAD-S)."""
    c = ConfigDict()
    c.seed = 0
    c.select = ""  # "": the point of sample and score; "synthetic": the sweep's best on synthetic defects
    c.teacher = 0  # steps of a fine teacher whose distance every row then has (teacher_rmse); 0: none; 100 for studies
    c.teacher_images = 64  # that distance is measured on at most so many test pictures, spread over them
    c.at_threshold = False  # every row also says what its own threshold makes of the test pictures
    # Where select = synthetic: at least so many defects, as many on each, are painted on so many normal pictures, the
    # calibration ones and where these are fewer, pictures that were trained on.
    c.synthetic_defects = 84
    c.synthetic_normals = 60

    c.data = ConfigDict()
    c.data.kind = "folder"  # folder (MVTec AD layout) | visa | mtd | cans | tfds (prepared)
    c.data.root = ""
    c.data.category = ""
    c.data.size = 256  # side in pixels, aspect ratio not kept
    c.data.held_out = 0.15  # share of the normal training images kept for validation and calibration
    c.data.hold_out = "recording"  # whole ones, where the data say which picture is of which; | "picture"
    c.data.calibration = 32  # at most so many of them are reconstructed at every grid point
    # Pictures larger than the network's: brought to (height, width) = picture and cut into tiles of `size` that overlap
    # by at least `overlap` pixels. Empty: no tiles, every picture is brought to size x size.
    c.data.picture = ()
    c.data.overlap = 32
    c.data.train_tiles = 4096  # at most so many tiles, evenly over the training pictures, are trained on
    c.data.flips = ""  # "", "h", "v" or "hv": random flips in training; the papers use none

    # What happens to the pictures of a camera's view before the model sees them.
    c.view = ConfigDict()
    c.view.mask = ""  # JSON of polygons or an image, white = watched; used where mask_before or mask_after says so
    c.view.name = ""  # of the polygons in that file; empty: data.category
    c.view.register = ""  # "scored": calibration and test pictures are brought onto the reference; "all": training, too
    c.view.reference = ""  # picture; empty: the first training picture

    c.model = ConfigDict()
    c.model.base = 32  # channels of the first level; 64 DDAD, 32 DDAD-S
    c.model.channel_mult = ()  # empty: the published table for the size
    c.model.res_blocks = 2  # a level, one more on the way up
    c.model.attention_sizes = (32, 16, 8)  # sides of feature maps, in pixels, that have attention
    c.model.heads = 2  # of attention; 4 DDAD, 2 DDAD-S
    c.model.dropout = 0.0  # in every block; published 0 for DDAD, 0.3 for DDAD-S
    c.model.patch = 1  # side of the squares of pixels that become channels; published 1
    c.model.predict = "eps"  # | "x0": for small networks and short trainings; published eps
    c.model.groups = 32  # of every normalisation; fewer than channels, or the time embedding is lost; published 32
    c.model.dtype = "float32"  # | bfloat16: what the network computes in; parameters stay float32

    c.train = ConfigDict()
    c.train.steps = 20_000  # batches
    c.train.max_minutes = 0.0  # 0: no limit
    c.train.batch_size = 16  # pictures, over all devices
    c.train.learning_rate = 3e-4  # of Adam
    c.train.weight_decay = 2.5e-7  # L2 coupled to the gradient; 0.05 with reduce = sum, as published
    c.train.reduce = "mean"  # | sum, over pixels and channels; published sum
    c.train.warmup_steps = 200  # of a rate that rises from 0; published 0
    c.train.clip_norm = 1.0  # of the gradient of all parameters; 0: none, as published
    c.train.accumulate = 1  # batches an update; published 1
    c.train.ema_decay = 0.999  # of the average of parameters that is used afterwards; 0: none, as published
    c.train.t_max = 1000  # trains at times below this; published 1000
    c.train.min_snr = 0.0  # 5: weight by min(SNR, 5) / SNR, for short trainings; published 0
    c.train.log_every = 50  # steps
    c.train.validate_every = 500  # steps
    c.train.checkpoint_every = 500  # steps

    # The student of ``python -m experiments.distil``; a sweep or a point with model = student trains it where it is
    # missing. It may be asked for any w and T' of these ranges, in 1 to `calls` calls at the times of `grid`.
    c.student = ConfigDict()
    c.student.w = (0.0, 6.0)
    c.student.t_prime = (100, 300)
    c.student.calls = 2  # at most so many a reconstruction
    c.student.grid = "trailing"  # of the times it is called at
    c.student.start_noise = 1.0  # these three as in sample: the student is asked with them alone
    c.student.fade = 1.0
    c.student.blend_max = 0.0
    c.student.teacher_solver = "dpm2m"  # of the run that it learns to shorten; as sample.solver
    c.student.teacher_steps = 20
    c.student.teacher_grid = "trailing"
    c.student.defects = 512  # about so many synthetic defects are painted on the training pictures
    c.student.damaged = 0.5  # share of a batch that shows them; the teacher's answer is the target there too
    c.student.paired = 0.25  # share whose target y is another picture, as in adaptation
    c.student.relative = True  # errors in units of the teacher's own in one call, so that every w counts alike
    c.student.reuse = 4  # updates that use each of the teacher's answers
    c.student.steps = 4000
    c.student.max_minutes = 0.0
    c.student.batch_size = 16
    c.student.learning_rate = 3e-4
    c.student.weight_decay = 0.0
    c.student.warmup_steps = 100
    c.student.clip_norm = 1.0
    c.student.accumulate = 1
    c.student.ema_decay = 0.999
    c.student.log_every = 50
    c.student.validate_every = 500
    c.student.checkpoint_every = 500

    c.backbone = ConfigDict()
    c.backbone.name = "efficientnet_lite0"
    c.backbone.weights = ""  # path; empty: the usual place
    c.backbone.feature_size = 0  # side at which pictures enter it; 0: their own
    c.backbone.dtype = "float32"  # | bfloat16: what it computes in

    c.adapt = ConfigDict()
    c.adapt.epochs = 8  # 0: no adaptation
    c.adapt.max_minutes = 0.0
    c.adapt.patience = 3  # epochs without a higher contrast before stopping; 0: run them all
    c.adapt.batch_size = 8  # pairs
    c.adapt.learning_rate = 1e-4  # of AdamW
    c.adapt.weight_decay = 0.01
    c.adapt.lambda_dl = 0.1  # weight of the distillation loss; published 0.1 MVTec AD, 0.01 VisA
    c.adapt.batch_norm = "frozen"  # | train: by batch statistics, as published
    c.adapt.w = 3.0  # this and the next three: how its pictures are reconstructed; published 3, 250, 10, 1
    c.adapt.t_prime = 250
    c.adapt.steps = 10
    c.adapt.eta = 1.0
    # contrast: the epoch of the highest contrast; synthetic: the one with which the point of sample and score finds
    # synthetic defects best; last: as published, where a person chose it.
    c.adapt.choose = "contrast"

    # The point a verdict uses. `origin` is how its values were come by, as the report says it.
    c.sample = ConfigDict()
    c.sample.origin = LABEL_FREE
    c.sample.w = 3.0
    c.sample.t_prime = 250
    c.sample.steps = 10
    c.sample.eta = 1.0
    c.sample.grid = "trailing"  # a name of ddad_jax/timesteps.py, or "optimised": found as section grid says
    c.sample.solver = "ddim"  # a name of ddad_jax/solvers/__init__.py; eta is 0 for those without noise of their own
    c.sample.start_noise = 1.0  # 0: begin at the scaled picture, without noise; published 1
    c.sample.fade = 1.0  # the blend towards the target is w (1 - alpha_bar)^fade; published 1
    c.sample.blend_max = 0.0  # and at most this; 1 ends at the target, 0: no limit, as published
    c.sample.model = "teacher"  # | student: with 1 or 2 steps; grid, start_noise, fade and blend_max are then its own
    c.sample.rise = 0.0  # T' of a picture is up to (1 + rise) times as late, the more unusual a first call finds it
    c.sample.reuse = 1  # 2: at every second step the network's deep layers are those of the step before; published 1
    c.sample.mask_before = False  # distances see nothing of what the view's mask leaves out
    c.sample.clip = True
    c.sample.batch_size = 16  # (point, image) pairs in one call

    c.score = ConfigDict()
    c.score.v = 1.0
    c.score.layers = ("layer2", "layer3")
    c.score.sigma = 4.0  # of the blur, in pixels of a 256 px image; scaled with the size
    c.score.standardise = False  # measure each pixel in the normal spread there: for parts in a fixed position
    c.score.feature_weight = 1.0  # of the feature term; 0: the map is of pixels alone; published 1
    c.score.mask_after = False  # the map is silent where the view's mask leaves out
    c.score.normalise = "held_out"  # | batch (published: whole test set maxima)
    c.score.batch = 16  # images a batch when normalise = batch
    c.score.crop = 0  # side of the centre that is scored, 0: everything

    # Above what a score is anomalous, and which pixels of a map are: from held-out normal pictures alone.
    c.threshold = ConfigDict()
    c.threshold.rule = "max"  # of scores: max | quantile | sigma | conformal | conformal_pac
    c.threshold.level = 0.05  # share of normal pictures that may raise a false alarm, for the conformal rules
    c.threshold.delta = 0.05  # conformal_pac: probability that the drawn calibration pictures break that level
    c.threshold.p = 0.99  # quantile
    c.threshold.k = 3.0  # sigma: mean + k standard deviations; of pixels, too
    c.threshold.pixel_rule = "max"  # of pixels: max | quantile | sigma
    c.threshold.pixel_p = 0.995

    # Times found for the trained model where sample.grid or sweep.grid is "optimised", for each T', steps and solver,
    # at the w, start and blend of sample: every other w of a sweep shares them. Kept in grids.json of the workdir.
    # Adaptation has a T' and steps of its own and uses the trailing grid then.
    c.grid = ConfigDict()
    c.grid.images = 8  # held-out normal pictures they are found on
    c.grid.teacher_steps = 100  # of the fine run that K steps shall come close to; its times are the candidates
    c.grid.teacher_solver = "ddim"  # as in the rows' teacher_rmse; as sample.solver
    c.grid.rounds = 3  # of coordinate descent behind the dynamic programming; 0: none

    # What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    # alone. parts: more sweeps, each a section of some of these names, that take the point's values for the rest.
    c.sweep = ConfigDict()
    c.sweep.parts = ConfigDict()
    c.sweep.w = ()
    c.sweep.t_prime = ()
    c.sweep.steps = ()
    c.sweep.eta = ()
    c.sweep.grid = ()
    c.sweep.solver = ()
    c.sweep.start_noise = ()
    c.sweep.fade = ()
    c.sweep.blend_max = ()
    c.sweep.model = ()  # ("teacher", "student"): the student takes those of the steps that it has calls for
    c.sweep.rise = ()
    c.sweep.reuse = ()
    c.sweep.mask_before = ()
    c.sweep.seed = (0,)
    c.sweep.v = ()
    c.sweep.layers = ()
    c.sweep.sigma = ()
    c.sweep.standardise = ()
    c.sweep.feature_weight = ()
    c.sweep.mask_after = ()

    c.output = ConfigDict()
    c.output.maps = False  # also float32 .tiff anomaly maps at the size of the original pictures
    c.output.overlays = False  # also every test picture at its own size with the contours of what was found
    c.output.examples = 12  # rows of the picture grid
    # At most so many test pictures are in the report's browser, each with what is predicted at every visited time
    # (trajectory.npz); 0: no browser.
    c.output.browser = 120
    return c.lock()


def reference(c: ConfigDict) -> ConfigDict:
    """Turn ``c`` into what the published code does, quirks included; the caller keeps data and category.

    Deviation: a few normal images are still held out (validation loss, contrast); the published code trains on
      all of them and validates on none.
    """
    with c.unlocked():
        c.model.update(base=64, heads=4, dropout=0.0, patch=1, predict="eps", groups=32, channel_mult=(), res_blocks=2)
        c.train.update(batch_size=32, weight_decay=0.05, reduce="sum", warmup_steps=0, clip_norm=0.0)
        c.train.update(accumulate=1, ema_decay=0.0, min_snr=0.0, t_max=1000, learning_rate=3e-4)
        c.backbone.update(name="wide_resnet101_2", feature_size=0)
        c.data.held_out = 0.02
        c.adapt.update(batch_norm="train", patience=0, choose="last")
        c.sample.update(grid="reference", clip=False, solver="ddim", start_noise=1.0, fade=1.0, blend_max=0.0)
        c.sample.update(model="teacher", rise=0.0, reuse=1, mask_before=False)
        c.score.update(normalise="batch", crop=224, sigma=4.0, standardise=False, mask_after=False)
        c.score.feature_weight = 1.0
        c.select = ""
    return c
