"""What makes two trainings the same one: the settings that matter to what is learned, and the data.

Here live that identity and the words for a difference. It imports no torch. The one idea: a checkpoint carries what it
was made from, so that whatever cannot go on from it can be told by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

FROM_WEIGHTS = "from_weights"
"""The input that a training's first weights came from."""


@dataclass(frozen=True)
class Identity:
    """`settings`: plain values by dotted key (`learned_settings`); `inputs`: SHA-256 of contents by name."""

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_state`."""
        return cls(state["settings"], state["inputs"])

    def to_state(self) -> dict[str, Any]:
        """Plain values only, as `torch.load(weights_only=True)` accepts them."""
        return {"settings": dict(self.settings), "inputs": dict(self.inputs)}

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over everything."""
        return hashlib.sha256(json.dumps(self.to_state(), sort_keys=True).encode()).hexdigest()

    def differences(self, other: Identity) -> list[str]:
        """What `other` has in another way, a line for each setting and each input; none if they are the same."""
        settings = [
            f"{key}: {_shown(self.settings, key)} there, {_shown(other.settings, key)} here"
            for key in _different(self.settings, other.settings)
        ]
        inputs = [
            f"{name}: {_change(self.inputs, other.inputs, name)}" for name in _different(self.inputs, other.inputs)
        ]
        return [*settings, *inputs]


def _different(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Keys whose values are not equal, in the order of both."""
    missing = object()
    return [key for key in {**ours, **theirs} if ours.get(key, missing) != theirs.get(key, missing)]


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key]) if key in settings else "not set"


def _change(ours: Mapping[str, str], theirs: Mapping[str, str], name: str) -> str:
    if name not in theirs:
        return "was used there, is not here"
    return "has other content" if name in ours else "is used here, was not there"
