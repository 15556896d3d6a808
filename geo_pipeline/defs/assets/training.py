"""Group training: the photos to learn from, and the network.

Not here: the training itself, which runs in a process of its own (training room). The one idea: the step tails
`metrics.jsonl`, so that every epoch reaches the Dagster page while the training runs.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pyarrow as pa

from geo_pipeline.defs.io_managers import content_version
from geo_pipeline.defs.making import asset_function
from geo_pipeline.defs.metrics import finished_run_metadata, observations_of_run
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.defs.staleness import FILES, file_sizes
from geo_pipeline.errors import InputError
from geo_pipeline.photos.joins import downloaded_and_labelled, selection_counts
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import Layout
from geo_pipeline.store import file_hash
from geo_pipeline.training.job import WHERE_STORED, Earlier, TrainingJob
from geo_pipeline.training.process import MESSAGE_FILE
from geo_pipeline.training.selection import Selection

GROUP = "training"
RUN = "base"
PARTITIONINGS = ("coarse", "middle", "fine")


def _labelled_photos(
    experiment: Experiment, role: Role, manifest: pa.Table, metadata: pa.Table, classes: pa.Table
) -> dg.MaterializeResult[pa.Table]:
    """The photos of a role that are labelled and downloaded. Raises InputError if there are none."""
    photo_sets = experiment.profile.sets_of(role)
    joined = (manifest, metadata, classes, photo_sets)
    keep_duplicates = experiment.profile.keep_duplicates
    selection = Selection(selection_counts(*joined, keep_duplicates=keep_duplicates))
    photos = selection.attached_to(downloaded_and_labelled(*joined, keep_duplicates=keep_duplicates))
    if photos.num_rows == 0:
        raise InputError(
            f"no {role} photo of {', '.join(photo_sets)} is left: {selection}; look at photo_manifest's outcomes and "
            "check that the ids of the URL list and the metadata are the same"
        )
    version = content_version(photos, without=WHERE_STORED)
    counts = {name.replace(" ", "_"): count for name, count in selection.counts.items()}
    return dg.MaterializeResult(value=photos, data_version=version, metadata=counts)


@dg.asset(group_name=GROUP, kinds={"duckdb", "parquet"})
@asset_function
def training_photos(
    experiment: dg.ResourceParam[Experiment],
    photo_manifest: pa.Table,
    photo_metadata: pa.Table,
    photo_classes: pa.Table,
) -> dg.MaterializeResult[pa.Table]:
    """Training photos that are labelled *and* downloaded, with their classes and where they lie in the shards."""
    return _labelled_photos(experiment, Role.TRAIN, photo_manifest, photo_metadata, photo_classes)


@dg.asset(group_name=GROUP, kinds={"duckdb", "parquet"})
@asset_function
def validation_photos(
    experiment: dg.ResourceParam[Experiment],
    photo_manifest: pa.Table,
    photo_metadata: pa.Table,
    photo_classes: pa.Table,
) -> dg.MaterializeResult[pa.Table]:
    """Validation photos that are labelled *and* downloaded."""
    return _labelled_photos(experiment, Role.VALIDATION, photo_manifest, photo_metadata, photo_classes)


@dg.asset(
    group_name=GROUP,
    deps=["training_photos", "validation_photos", *(f"cells_{name}" for name in PARTITIONINGS), "cell_hierarchy"],
    kinds={"pytorch", "lightning"},
    pool="gpu",
)
@asset_function
def geo_model(
    context: dg.AssetExecutionContext,
    experiment: dg.ResourceParam[Experiment],
    training_process: dg.ResourceParam[dg.PipesSubprocessClient],
) -> dg.MaterializeResult[None]:
    """base(M, f*): one network with a head for each partitioning, trained in a process of its own.

    Each epoch is an observation of this asset while the training runs, in long epochs also how far it is. A training
    that was stopped continues from its last checkpoint when the asset is materialized again, unless settings or data
    have changed since.
    """
    layout = experiment.layout
    train_in_process(context, training_process, [(None, base_job(layout, experiment.profile.training))])
    checkpoint = layout.run(RUN) / "best.ckpt"
    return dg.MaterializeResult(
        data_version=dg.DataVersion(file_hash(checkpoint)[:32]),
        metadata={
            "checkpoint": dg.MetadataValue.path(checkpoint),
            FILES: file_sizes(layout.folder, checkpoint),
            **finished_run_metadata(layout.run(RUN)),
        },
    )


def base_job(layout: Layout, config: Path) -> TrainingJob:
    """The order for geo_model's training: which tables, shards and config, and where the run's files go."""
    return TrainingJob(
        config=config,
        training_photos=layout.table("training_photos"),
        validation_photos=layout.table("validation_photos"),
        cells={name: layout.table(f"cells_{name}") for name in PARTITIONINGS},
        hierarchy=layout.table("cell_hierarchy"),
        shards_root=layout.shards,
        run_dir=layout.run(RUN),
        earlier=Earlier.REPEAT,  # whoever materializes after a change wants the change, without being asked again
    )


def train_in_process(
    context: dg.AssetExecutionContext,
    training_process: dg.PipesSubprocessClient,
    jobs: Sequence[tuple[str | None, TrainingJob]],
) -> None:
    """Train jobs one after another in one process, each epoch an observation; a scene stands before its own job.

    Raises InputError with the words of the process for a mistake that the user can mend.
    """
    files = [str(job.write(job.run_dir / "job.json")) for _, job in jobs]
    command = [sys.executable, "-m", "geo_pipeline.training", "--job", *files]
    with ExitStack() as following, warnings.catch_warnings(), TemporaryDirectory() as folder:
        for scene, job in jobs:
            following.enter_context(observations_of_run(context, job.run_dir, scene))
        warnings.simplefilter("ignore", dg.PreviewWarning)  # of Pipes about parts of its own
        warnings.filterwarnings("ignore", "AssetExecutionContext.run_id", DeprecationWarning)
        message = Path(folder) / "message"
        try:
            training_process.run(context=context, command=command, env={MESSAGE_FILE: str(message)})
        except Exception as error:  # Pipes tells that the process has failed, not why
            if message.exists():
                raise InputError(message.read_text(encoding="utf-8")) from error
            raise
