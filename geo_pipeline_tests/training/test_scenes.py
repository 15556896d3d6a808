"""Scene networks: the choice of their photos, and real trainings that begin with the base's weights."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import load_network
from geo_pipeline.store import read_table
from geo_pipeline.training.config import SceneParams, SceneTrainingConfig
from geo_pipeline.training.config_file import load_config, load_scene_config
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.run import train
from geo_pipeline.training.scenes import photos_of_scene, photos_of_scenes, scene_job
from geo_pipeline.training.selection import Selection
from geo_pipeline_tests.training import small_runs

RESOURCES = Path(__file__).parents[2] / "resources" / "training"
PARAMS = SceneParams(min_photos=1)


def photos(probabilities: list[float | None]) -> pa.Table:
    ids = [str(i) for i in range(len(probabilities))]
    return pa.table({"photo_id": ids, "probability_water": pa.array(probabilities, pa.float64())})


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from([0.3, 0.30000001]), st.floats(0, 1))), st.floats(0, 0.99))
def test_a_scenes_photos_are_those_above_the_threshold_in_their_order(
    probabilities: list[float | None], threshold: float
) -> None:
    found = photos_of_scene(photos(probabilities), "water", SceneParams(min_probability=threshold))
    expected = [str(i) for i, value in enumerate(probabilities) if value is not None and value > threshold]
    assert found["photo_id"].to_pylist() == expected


def test_the_note_of_the_filters_tells_of_this_one_too() -> None:
    table = Selection({"listed": 9, "downloaded": 3}).attached_to(photos([0.1, 0.5, 0.9]))
    chosen = photos_of_scene(table, "water", PARAMS)
    assert str(Selection.of(chosen)) == "9 listed, 3 downloaded, 2 of scene water"


def test_a_scene_with_too_few_photos_is_named_with_its_number_and_the_threshold() -> None:
    few = photos([0.9] * 3 + [0.2] * 7)
    with pytest.raises(InputError) as error:
        photos_of_scenes(["water"], few, few, SceneParams(min_photos=4, min_probability=0.25))
    head, water, remedy = str(error.value).splitlines()
    assert "a probability of more than 0.25; expected at least 4 for training" in head
    assert water == "  - water: 3 of 10 training photos, 3 of 10 validation photos"
    assert remedy.startswith("lower scene_params.min_probability or min_photos in the config")


def test_a_scene_without_a_validation_photo_is_named() -> None:
    with pytest.raises(InputError, match="water: 2 of 2 training photos, 0 of 1 validation photos"):
        photos_of_scenes(["water"], photos([0.9, 0.8]), photos([0.1]), PARAMS)


def test_photos_without_the_scenes_column_are_told_with_those_that_they_have() -> None:
    with pytest.raises(InputError, match="no column probability_ice; they have photo_id, probability_water"):
        photos_of_scenes(["ice"], photos([0.9]), photos([0.9]), PARAMS)


def test_the_papers_config_holds_the_papers_numbers_and_the_network_of_its_base() -> None:
    config = load_scene_config(RESOURCES / "isn.yml")
    params, base = config.model_params, load_config(RESOURCES / "baseM.yml").model_params
    assert config.scene_params.min_probability == 0.3
    assert config.trainer_params["max_epochs"] == 5
    assert params.optimizer.learning_rate == 1e-3
    assert (params.schedule.name, params.schedule.milestones, params.schedule.gamma) == ("multistep", (1, 2, 3, 4), 0.5)
    assert params.model_copy(update={"optimizer": base.optimizer, "schedule": base.schedule}) == base


@pytest.mark.parametrize(("scenes", "base"), [("isn", "baseM"), ("world_isn", "world"), ("ci_isn", "ci")])
def test_a_shipped_config_of_scenes_has_the_network_and_pictures_of_its_base(scenes: str, base: str) -> None:
    ours, theirs = (load_config(RESOURCES / f"{name}.yml").model_params for name in (scenes, base))
    for name in ("architecture", "image_size", "resize_size", "augmentation"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_config_of_scenes_begins_with_the_base_and_not_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "isn.yml"
    path.write_text("model_params: {weights: w.pth}\ntrainer_params: {max_epochs: 1}\n")
    with pytest.raises(InputError, match=r"isn\.yml.*\n.*begin with the weights of geo_model; leave it out"):
        load_scene_config(path)


def test_a_wrong_key_of_scene_params_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "isn.yml"
    path.write_text("scene_params: {min_probabilty: 0.2}\ntrainer_params: {max_epochs: 1}\n")
    with pytest.raises(InputError, match="did you mean min_probability"):
        load_scene_config(path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """A finished base network."""
    job = small_runs.job(tmp_path_factory.mktemp("scenes"), "base")
    train(job)
    return job


def of_water(base: TrainingJob, run_dir: Path, code: str = "1", learning_rate: float = 1e-9) -> TrainingJob:
    """The job of a scene of half the photos."""
    tables = [read_table(path) for path in (base.training_photos, base.validation_photos)]
    tables = [t.append_column("probability_water", pa.array(np.arange(t.num_rows) % 2 * 0.5)) for t in tables]
    found = photos_of_scenes(["water"], *tables, PARAMS)
    params = small_runs.config(optimizer={"learning_rate": learning_rate}).model_params
    config = SceneTrainingConfig(model_params=params, trainer_params=base.resolved_config().trainer_params)
    return scene_job(base, "water", found["water"], config, run_dir, code)


def test_a_scenes_training_begins_with_the_bases_weights_and_sees_its_photos_only(
    base: TrainingJob, tmp_path: Path
) -> None:
    job = of_water(base, tmp_path / "scene_water")
    assert [read_table(path).num_rows for path in (job.training_photos, job.validation_photos)] == [30, 10]
    train(job)
    cpu = torch.device("cpu")
    theirs = load_network(base.run_dir / "best.ckpt", cpu).network
    ours = load_network(job.run_dir / "best.ckpt", cpu).network
    for name, value in theirs.named_parameters():  # a learning rate of 1e-9 leaves them where they began
        torch.testing.assert_close(ours.get_parameter(name), value, atol=1e-5, rtol=0)
    card = (job.run_dir / "model_card.md").read_text("utf-8")
    assert card.startswith("# Model card: ISN(M, f*, S3), scene water\n")
    assert re.search(r"- training: .*, 30 of scene water\n- validation: .*, 10 of scene water\n", card)


def test_a_finished_scene_is_kept_unless_weights_settings_photos_or_code_have_changed(
    base: TrainingJob, tmp_path: Path
) -> None:
    def trained(job: TrainingJob) -> bool:
        """Whether the job trains, or keeps what is there."""
        file = job.run_dir / "last.ckpt"
        before = file.stat().st_mtime_ns if file.exists() else None
        train(job)
        return file.stat().st_mtime_ns != before

    folder = tmp_path / "scene_water"
    assert trained(of_water(base, folder))
    assert not trained(of_water(base, folder))
    assert trained(of_water(base, folder, code="2"))
    assert trained(of_water(base, folder, code="2", learning_rate=1e-8))
    assert not trained(of_water(base, folder, code="2", learning_rate=1e-8))
    elsewhere = base.model_copy(update={"run_dir": tmp_path / "other_base"})
    train(elsewhere.model_copy(update={"config": small_runs.config(seed=5)}))
    assert trained(of_water(elsewhere, folder, code="2", learning_rate=1e-8))
