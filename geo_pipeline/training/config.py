"""The training config: one YAML file in two parts, `model_params` and `trainer_params`.

Here live its types and defaults; it imports no torch, so that a profile can be checked without it. Not here: reading
the file (config_file.py). The one idea: hyper-parameters only. Which photos and which partitionings comes from the job
(job.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from geo_pipeline.model.settings import NetworkSettings


class OptimizerSettings(BaseModel):
    """The optimizer. The defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["sgd", "adamw"] = Field(default="sgd", description="SGD with momentum, or AdamW")
    learning_rate: float = Field(default=0.01, gt=0, description="the schedule's largest learning rate")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd; adamw keeps its own averages")
    nesterov: bool = Field(default=False, description="Nesterov's form of the momentum of sgd")
    weight_decay: float = Field(default=1e-4, ge=0, description="added to the gradient by sgd, decoupled in adamw")


class ScheduleSettings(BaseModel):
    """How the learning rate changes. The defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["multistep", "cosine"] = Field(
        default="multistep", description="multiply at milestones, or warm up linearly and fall with a cosine to zero"
    )
    milestones: tuple[int, ...] = Field(
        default=(4, 8, 12, 13, 14, 15), description="epochs at whose start multistep multiplies by gamma"
    )
    gamma: float = Field(default=0.5, gt=0, le=1, description="factor of multistep")
    warmup_share: float = Field(default=0.15, ge=0, lt=1, description="share of all steps in which cosine warms up")


class AugmentationSettings(BaseModel):
    """What a photo goes through in training. The defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_scale: tuple[float, float] = Field(
        default=(0.66, 1.0), description="area of the random crop, share of the photo"
    )
    crop_ratio: tuple[float, float] = Field(default=(3 / 4, 4 / 3), description="width by height of the random crop")
    flip: bool = Field(default=True, description="mirror every other photo; wrong for views of the earth")


class LoaderSettings(BaseModel):
    """How photos are fed to the network. Nothing here changes what is learned from them but by rounding."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_workers: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        default="auto",
        description="processes that decode photos; 0: the training process itself; auto: 0 where the processor trains, "
        "else one for each core but one, at most 16",
    )
    prefetch_batches: int = Field(default=4, ge=1, description="batches that each worker prepares in advance")
    augment_on: Literal["auto", "worker", "device"] = Field(
        default="auto",
        description="where crops are resized and mirrored: by the workers, or on the device as one operation for a "
        "batch; auto: on a GPU if there is one",
    )
    max_damaged_share: float = Field(
        default=0.01, ge=0, le=1, description="share of an epoch's photos that may be damaged; more stop the training"
    )


class ModelParams(NetworkSettings):
    """Everything about the network and its learning."""

    weights: Path | None = Field(
        default=None,
        description="what the backbone begins with: a local file of torchvision's or timm's (state dict, safetensors), "
        "or a checkpoint or safetensors export of ours; a path relative to the config",
    )
    loss: Literal["sum", "mean"] = Field(default="sum", description="how the heads' cross-entropies are combined")
    label_smoothing_km: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="by partitioning: the distance over which a wrong cell's share of the target falls to 1/e; not "
        "named: its labels as they are",
    )
    ema_decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="validate and keep a moving average of the weights, of which each step keeps so much; null: none",
    )
    freeze_batch_norm: bool = Field(
        default=False, description="keep the statistics of batch norm as they are: for fine-tuning with small batches"
    )
    compile: Literal["auto"] | bool = Field(
        default="auto", description="torch.compile; auto: on a GPU, for a training long enough to win back its minute"
    )
    batch_size: int = Field(default=128, ge=1, description="photos in a step")
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    augmentation: AugmentationSettings = Field(default_factory=AugmentationSettings)
    loader: LoaderSettings = Field(default_factory=LoaderSettings)
    seed: int = Field(default=0, ge=0, description="of the first weights, the order of photos and their augmentation")
    checkpoint_minutes: float = Field(
        default=10.0, gt=0, description="a checkpoint is saved after so long, and at the end of each epoch"
    )
    report_minutes: float = Field(default=2.0, gt=0, description="in a long epoch progress is told after so long")


class TrainingConfig(BaseModel):
    """A training config. `trainer_params` takes any parameter of Lightning's Trainer (checked when training starts).

    One value is ours: `precision: auto` is bf16-mixed where the hardware computes in bfloat16, else 32-true.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_params: ModelParams = Field(default_factory=ModelParams)
    trainer_params: dict[str, Any] = Field(
        description="parameters of lightning.pytorch.Trainer; max_epochs is required"
    )


class SceneParams(BaseModel):
    """Which photos teach the network of a scene. The default is the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_probability: float = Field(
        default=0.3, ge=0, lt=1, description="a photo teaches the networks of all scenes whose probability exceeds this"
    )
    min_photos: int = Field(default=100, ge=1, description="a scene with fewer training photos is an error")


class SceneTrainingConfig(TrainingConfig):
    """The config of scene networks: that of a training, and which photos are a scene's."""

    scene_params: SceneParams = Field(default_factory=SceneParams)

    @model_validator(mode="after")
    def _begins_with_the_base(self) -> Self:
        if self.model_params.weights is not None:
            raise ValueError("model_params.weights: scene networks begin with the weights of geo_model; leave it out")
        return self
