"""The panels of ``--help``, in the order in which they are printed: what is used most comes first."""

MOST_USED = "Most used"
WATCHING = "Watching"
READING = "Reading the particles"
FILES = "Files that belong to the particles"
IMAGES = "Images"
FIT = "Fit"
ENGINE = "Images engine"
VALIDATION = "Validation"
DENSITY, MICROSCOPE, POSES = "Density", "Microscope", "Poses"
MASK = "Shape of the mask"
NAMES = "Names of the stacks"
RUN = "Run"

ORDER = (
    MOST_USED, WATCHING, READING, FILES, IMAGES, DENSITY, MICROSCOPE, POSES, FIT, ENGINE, VALIDATION, MASK, NAMES, RUN,
)  # fmt: skip

#: What commands are for, as ``gemmap --help`` groups them.
RECONSTRUCT, JUDGE, LOOK, SUMS, PRACTICE = "Reconstruct", "Judge", "Look", "Sums and files", "Practice"
PROGRAMS = "Within other programs"
