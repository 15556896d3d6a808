"""Where a training begins, for each state of its folder and each wish."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import SECTION, load_network
from geo_pipeline.store import read_table, write_table
from geo_pipeline.training.job import Earlier, TrainingJob
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.run import train
from geo_pipeline.training.start import Start, find_start, load_first_weights
from geo_pipeline_tests.model import made_up
from geo_pipeline_tests.training import small_runs

EVERY = list(Earlier)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """A finished training; nobody may change its folder."""
    job = small_runs.job(tmp_path_factory.mktemp("finished"))
    train(job)
    return job


@pytest.fixture
def job(finished: TrainingJob, tmp_path: Path) -> TrainingJob:
    """A copy of it that a test may change."""
    return finished.model_copy(update={"run_dir": Path(shutil.copytree(finished.run_dir, tmp_path / "run"))})


@contextmanager
def changed_progress(job: TrainingJob) -> Iterator[dict[str, object]]:
    """What the last checkpoint says of its training, to be changed in the block."""
    path = job.run_dir / "last.ckpt"
    content = torch.load(path, weights_only=True)
    yield content[SECTION]["progress"]
    torch.save(content, path)


def unfinished(job: TrainingJob) -> None:
    with changed_progress(job) as progress:
        progress |= {"finished": False, "epoch": 1, "batch": 2}


@pytest.mark.parametrize("earlier", EVERY)
def test_an_empty_folder_is_a_beginning(finished: TrainingJob, tmp_path: Path, earlier: Earlier) -> None:
    job = finished.model_copy(update={"run_dir": tmp_path / "new", "earlier": earlier})
    assert find_start(job) == Start(job.identity())


@pytest.mark.parametrize(("earlier", "is_continued"), [(each, each is not Earlier.FRESH) for each in EVERY])
def test_the_same_training_goes_on_where_it_was_left_unless_it_shall_be_fresh(
    job: TrainingJob, earlier: Earlier, is_continued: bool
) -> None:
    unfinished(job)
    start = find_start(job.model_copy(update={"earlier": earlier}))
    assert (start.epoch, start.batch) == ((1, 2) if is_continued else (0, 0))
    assert start.checkpoint == (job.run_dir / "last.ckpt" if is_continued else None)
    assert (start.best is not None) == is_continued
    assert not start.is_finished


@pytest.mark.parametrize(
    ("earlier", "is_left"), [(each, each in {Earlier.CONTINUE, Earlier.REPLACE}) for each in EVERY]
)
def test_a_finished_training_is_left_or_repeated(job: TrainingJob, earlier: Earlier, is_left: bool) -> None:
    start = find_start(job.model_copy(update={"earlier": earlier}))
    assert start.is_finished == is_left
    assert (start.checkpoint is None) == (not is_left)


def test_a_finished_training_whose_network_is_gone_is_trained_again(job: TrainingJob) -> None:
    (job.run_dir / "best.ckpt").unlink()
    assert find_start(job) == Start(job.identity())


def test_another_training_is_refused_with_every_difference(job: TrainingJob, tmp_path: Path) -> None:
    config = small_runs.config(batch_size=8, optimizer={"learning_rate": 0.1})
    photos = tmp_path / "other.parquet"
    write_table(photos, read_table(job.training_photos).slice(1))
    with pytest.raises(InputError) as raised:
        find_start(job.model_copy(update={"config": config, "training_photos": photos}))
    message = str(raised.value)
    assert f"{job.run_dir / 'last.ckpt'}: holds another training:" in message
    assert "  - model_params.batch_size: 16 there, 8 here\n" in message
    assert "  - model_params.optimizer.learning_rate: 0.05 there, 0.1 here\n" in message
    assert "  - training_photos: has other content\n" in message
    assert message.count("  - ") == 3
    assert "--fresh" in message
    assert "--from-weights" in message


@pytest.mark.parametrize("earlier", [Earlier.REPLACE, Earlier.REPEAT, Earlier.FRESH])
def test_another_training_gives_way_where_it_shall(job: TrainingJob, earlier: Earlier) -> None:
    other = job.model_copy(update={"config": small_runs.config(seed=3), "earlier": earlier})
    assert find_start(other) == Start(other.identity())


def test_a_setting_that_changes_nothing_learned_may_change(job: TrainingJob) -> None:
    unfinished(job)
    config = small_runs.config(loader={"num_workers": 1}, checkpoint_minutes=1.0)
    assert find_start(job.model_copy(update={"config": config})).batch == 2


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_checkpoint_that_cannot_be_read_is_named_with_what_to_do(job: TrainingJob, content: bytes | None) -> None:
    path = job.run_dir / "last.ckpt"
    path.write_bytes(path.read_bytes()[:-5000] if content is None else content)
    with pytest.raises(InputError, match=r"last\.ckpt: not a whole checkpoint.*--fresh begins anew.*best\.ckpt"):
        find_start(job)
    repeated = job.model_copy(update={"earlier": Earlier.REPEAT})
    assert find_start(repeated) == Start(repeated.identity())


def test_the_best_checkpoint_is_none_to_go_on_from(job: TrainingJob) -> None:
    shutil.copy(job.run_dir / "best.ckpt", job.run_dir / "last.ckpt")
    with pytest.raises(InputError, match="no training can continue"):
        find_start(job)


def weights(module: GeoModule, part: str) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in getattr(module.network, part).parameters()])


@pytest.mark.parametrize("cells", ["the same", "others"])
def test_first_weights_are_those_of_the_checkpoint_and_heads_only_for_the_same_cells(
    finished: TrainingJob, cells: str
) -> None:
    geography = made_up.geography()
    if cells == "others":
        tables = made_up.cells()
        tables["fine"] = tables["fine"].set_column(1, "hex_id", [["f1", "f3", "f5", "f7"]])
        geography = type(geography).from_tables(tables, made_up.hierarchy())
    params = finished.resolved_config().model_params
    module = GeoModule(params, geography, steps_per_epoch=1, max_epochs=1)
    fresh = weights(module, "heads").clone()
    load_first_weights(module, finished.run_dir / "best.ckpt")
    trained = load_network(finished.run_dir / "best.ckpt", torch.device("cpu"))
    for name, tensor in module.network.backbone.state_dict().items():
        assert torch.equal(tensor, trained.network.backbone.state_dict()[name])
    theirs = torch.cat([tensor.flatten() for tensor in trained.network.heads.parameters()])
    assert torch.equal(weights(module, "heads"), theirs if cells == "the same" else fresh)


def test_first_weights_of_another_architecture_are_refused(finished: TrainingJob) -> None:
    params = finished.resolved_config().model_params.model_copy(update={"architecture": "resnet18"})
    module = GeoModule(params, made_up.geography(), steps_per_epoch=1, max_epochs=1)
    with pytest.raises(InputError, match=r"best\.ckpt: holds weights of small_resnet.*architecture is resnet18"):
        load_first_weights(module, finished.run_dir / "best.ckpt")


def test_a_training_from_weights_takes_the_place_of_another_and_goes_on_afterwards(job: TrainingJob) -> None:
    last = job.run_dir / "last.ckpt"
    other = job.model_copy(update={"config": small_runs.config(seed=3), "from_weights": last})
    begun = find_start(other)
    assert begun.checkpoint is None
    with changed_progress(job) as progress:
        progress |= {"finished": False, "epoch": 1, "batch": 0, "identity": begun.identity.to_state()}
    assert find_start(other).checkpoint == last  # the file is another one by now
    assert find_start(other.model_copy(update={"from_weights": None})).checkpoint == last
    elsewhere = shutil.copy(job.run_dir / "best.ckpt", job.run_dir.parent)
    assert find_start(other.model_copy(update={"from_weights": Path(elsewhere)})).checkpoint is None
