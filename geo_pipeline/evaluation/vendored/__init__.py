"""Works of others that a page carries inside it: a map library and the outlines of the land.

Here live the files, as their packages hold them, and their reading; README.md says where they are from and under which
licence. Not here: anything of ours. The one idea: each is named where it is read, so that it counts as code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def leaflet_script() -> str:
    """Leaflet, without the comment at its end that makes a browser's debugger ask for a file that is not there."""
    script = (_FOLDER / "leaflet.js").read_text(encoding="utf-8")
    return script[: script.rindex("//# sourceMappingURL=")]


def leaflet_style() -> str:
    """Leaflet's style sheet."""
    return (_FOLDER / "leaflet.css").read_text(encoding="utf-8")


def leaflet_licence() -> str:
    """The licence of Leaflet, which goes where Leaflet goes."""
    return (_FOLDER / "leaflet-LICENSE.txt").read_text(encoding="utf-8")


def land_topology() -> dict[str, Any]:
    """Natural Earth's land, 1:50 million, as TopoJSON: `arcs`, `transform` and the object `land`."""
    topology: dict[str, Any] = json.loads((_FOLDER / "land-50m.json").read_text(encoding="utf-8"))
    return topology
