import json

import numpy as np

from geo_pipeline.cells.cell_id import face_ids
from geo_pipeline.cells.geojson import cells_geojson
from geo_pipeline.cells.table import cells_table
from geo_pipeline_tests.cells.test_assignment import table


def test_each_cell_is_a_closed_polygon_with_its_row_as_properties() -> None:
    collection = json.loads(json.dumps(cells_geojson(table("47c", "0c", "89c"), segments_per_edge=3)))
    assert collection["type"] == "FeatureCollection"
    assert [feature["properties"]["hex_id"] for feature in collection["features"]] == ["47c", "0c", "89c"]
    assert [feature["properties"]["level"] for feature in collection["features"]] == [3, 1, 3]
    for feature in collection["features"]:
        assert feature["geometry"]["type"] == "Polygon"
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert len({tuple(where) for where in ring}) == len(ring) - 1 == 12


def test_a_whole_cube_face_becomes_four_polygons_none_across_the_antimeridian() -> None:
    faces = cells_table(face_ids(), *(np.zeros(6, dtype=int) for _ in range(4)))
    for feature in cells_geojson(faces)["features"]:
        assert feature["geometry"]["type"] == "MultiPolygon"
        for (ring,) in feature["geometry"]["coordinates"]:
            longitudes = [where[0] for where in ring]
            assert max(longitudes) - min(longitudes) <= 180


def test_even_a_leaf_keeps_its_corners_apart() -> None:
    (feature,) = cells_geojson(table("47e66e1b8f0c9a2b"))["features"]
    assert feature["properties"]["level"] == 30
    assert len(feature["geometry"]["coordinates"][0]) == 17
