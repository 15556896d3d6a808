import numpy as np
import pytest
from s2sphere import CellId

from geo_pipeline.cells.hierarchy import cell_hierarchy
from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.errors import InputError
from geo_pipeline_tests.cells.oracle import PUBLISHED, real_data
from geo_pipeline_tests.cells.test_assignment import table


def test_each_fine_cell_finds_itself_or_the_ancestor_that_s2sphere_says_contains_it() -> None:
    rng = np.random.default_rng(3)
    where = rng.normal(40, 9, 6000), rng.normal(10, 40, 6000)
    rules = [PartitioningSettings(img_min=20, img_max=m) for m in (1500, 400, 120)]
    cells = dict(zip(("coarse", "middle", "fine"), make_partitionings(*where, rules), strict=True))
    hierarchy = cell_hierarchy(cells)
    assert hierarchy.column_names == ["coarse", "middle", "fine"]
    assert {str(field.type) for field in hierarchy.schema} == {"int32"}
    assert hierarchy["fine"].to_pylist() == cells["fine"]["class_label"].to_pylist()
    for fine, coarse in zip(cells["fine"]["hex_id"].to_pylist(), hierarchy["coarse"].to_pylist(), strict=True):
        ancestor = cells["coarse"]["hex_id"][coarse].as_py()
        assert CellId.from_token(ancestor).contains(CellId.from_token(fine))


def test_rows_follow_the_fine_label_where_a_published_table_does_not() -> None:
    hierarchy = cell_hierarchy({"coarse": table("47c", "0c"), "fine": table("47c4", "0c", "47cc", labels=[2, 0, 1])})
    assert hierarchy.to_pydict() == {"coarse": [1, 0, 0], "fine": [0, 1, 2]}


def test_a_fine_cell_without_an_ancestor_is_named() -> None:
    with pytest.raises(InputError, match=r"1 of 2 cells of fine lie in no cell of coarse.*89c"):
        cell_hierarchy({"coarse": table("47c"), "fine": table("47c4", "89c")})


def test_a_coarse_cell_inside_a_fine_one_is_no_ancestor() -> None:
    with pytest.raises(InputError, match="47c"):
        cell_hierarchy({"coarse": table("47c4"), "fine": table("47c")})


def test_every_published_fine_cell_has_a_coarse_and_a_middle_ancestor() -> None:
    hierarchy = cell_hierarchy({name: read_cells_csv(real_data(f"{name}.csv")) for name in PUBLISHED})
    assert hierarchy.num_rows == 12_893
    assert all(min(hierarchy[name].to_pylist()) >= 0 for name in PUBLISHED)
