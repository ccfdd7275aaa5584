"""Schema versions of the files that one package writes and others read: written here once, so that no reader can be left behind."""

SELECTION = 1  # families.json, oof.parquet, outer.parquet, candidates.parquet, features.json of the selection stage
THRESHOLD = 1  # threshold.json
TRAINING = 1  # training.json and history.parquet of every detector
METRIC_TABLE = 1  # table.parquet
NATIVE = 2  # native.json and native.parquet: how well the native scores rank, and the scores
DEFECT_SIZES = 1  # defect_sizes.parquet
PROPERTIES = 1  # properties.parquet: the trivial properties of each image
DUPLICATES = 1  # duplicates.json: near-duplicate photographs
COUNTS = 1  # counts.json: images by split and label
REPORT = 4  # report.json
PUBLISHED = 1  # published.json: the papers' own figures
