"""Joins of what is known about photos: duplicates in the manifest, and photos that are labelled and downloaded.

Not here: reading input files, or the outcome of a download. The one idea: a join is by photo set and photo id, and
its result does not depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

_SHARD = """m.photo_set || '/' || m.bucket || '/' || m.shard as shard, m."offset", m.length"""


def query_tables(sql: str, **values: object) -> pa.Table:
    """Run one DuckDB query in memory: tables among `values` are relations of their names, the rest `$parameters`."""
    import duckdb

    tables = {name: value for name, value in values.items() if isinstance(value, pa.Table)}
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        parameters = {name: value for name, value in values.items() if name not in tables}
        return connection.sql(sql, params=parameters or None).to_arrow_table()


def mark_duplicates(manifest: pa.Table) -> pa.Table:
    """Add `duplicate_of`: the smallest photo id of the same set with the same `source_sha256`; null for originals.

    `manifest`: the columns of a manifest and `photo_set`. The result is ordered by photo set and photo id.
    """
    return query_tables(
        """
        select * exclude original, case when status = 'ok' and original <> photo_id then original end as duplicate_of
        from (
            select *, min(case when status = 'ok' then photo_id end)
                over (partition by photo_set, source_sha256) as original
            from manifest
        )
        order by photo_set, photo_id
        """,
        manifest=manifest,
    )


def downloaded_and_labelled(
    manifest: pa.Table,
    metadata: pa.Table,
    classes: pa.Table,
    photo_sets: Sequence[str],
    *,
    keep_duplicates: bool = False,
) -> pa.Table:
    """Photos of some sets that were downloaded and have a class in at least one partitioning.

    Of photos with the same file only the one with the smallest id is taken, unless `keep_duplicates`.

    `manifest`: photo_manifest; `metadata`: photo_metadata; `classes`: photo_classes. The result has `photo_id,
    photo_set, latitude, longitude`, the class columns, the scene probabilities, `image_sha256`, and `shard` (path below
    the shards root), `offset`, `length`; ordered by photo set and photo id.
    """
    labels = [f'c."{name}"' for name in classes.column_names if name not in {"photo_id", "photo_set"}]
    scenes = [f'd."{name}"' for name in metadata.column_names if name.startswith("probability_")]
    return query_tables(
        f"""
        select d.photo_id, d.photo_set, d.latitude, d.longitude, {", ".join([*labels, *scenes])},
            m.image_sha256, {_SHARD}
        from manifest m join metadata d using (photo_set, photo_id) join classes c using (photo_set, photo_id)
        where m.status = 'ok' and ($keep_duplicates or m.duplicate_of is null)
            and coalesce({", ".join(labels)}) is not null and list_contains($photo_sets, d.photo_set)
        order by d.photo_set, d.photo_id
        """,  # noqa: S608 -- the names are columns of our own tables
        manifest=manifest,
        metadata=metadata,
        classes=classes,
        photo_sets=list(photo_sets),
        keep_duplicates=keep_duplicates,
    )


def selection_counts(
    manifest: pa.Table,
    metadata: pa.Table,
    classes: pa.Table,
    photo_sets: Sequence[str],
    *,
    keep_duplicates: bool = False,
) -> dict[str, int]:
    """How many photos of some sets' lists are left after each filter of `downloaded_and_labelled`, by its name."""
    labels = [f'c."{name}"' for name in classes.column_names if name not in {"photo_id", "photo_set"}]
    counts = query_tables(
        f"""
        with filtered as (
            select m.status = 'ok' as downloaded,
                downloaded and ($keep_duplicates or m.duplicate_of is null) as without_duplicates,
                without_duplicates and d.photo_id is not null as with_metadata,
                with_metadata and coalesce({", ".join(labels)}) is not null as labelled
            from manifest m
                left join metadata d using (photo_set, photo_id)
                left join classes c using (photo_set, photo_id)
            where list_contains($photo_sets, m.photo_set)
        )
        select count(*) as listed, count_if(downloaded) as downloaded,
            count_if(without_duplicates) as without_duplicates, count_if(with_metadata) as with_metadata,
            count_if(labelled) as labelled
        from filtered
        """,  # noqa: S608 -- the names are columns of our own tables
        manifest=manifest,
        metadata=metadata,
        classes=classes,
        photo_sets=list(photo_sets),
        keep_duplicates=keep_duplicates,
    )
    return {name.replace("_", " "): int(count) for name, count in counts.to_pylist()[0].items()}


def downloaded_with_coordinates(manifest: pa.Table, metadata: pa.Table, photo_set: str) -> pa.Table:
    """Photos of one set that were downloaded and have a coordinate: what a benchmark can be measured on.

    Columns `photo_id, author, latitude, longitude`, the scene probabilities, and `shard, offset, length`, ordered by
    photo id. Duplicates stay: a benchmark is the publishers' list.
    """
    scenes = [f', d."{name}"' for name in metadata.column_names if name.startswith("probability_")]
    return query_tables(
        f"""
        select d.photo_id, d.author, d.latitude, d.longitude{"".join(scenes)}, {_SHARD}
        from manifest m join metadata d using (photo_set, photo_id)
        where m.status = 'ok' and d.photo_set = $photo_set order by d.photo_id
        """,  # noqa: S608 -- the names are columns of our own tables
        manifest=manifest,
        metadata=metadata,
        photo_set=photo_set,
    )


def downloaded_pictures(manifest: pa.Table, photo_sets: Sequence[str]) -> pa.Table:
    """The stored pictures of some sets: `photo_set, photo_id, image_sha256, shard, offset, length`, ordered by id."""
    return query_tables(
        f"""
        select m.photo_set, m.photo_id, m.image_sha256, {_SHARD}
        from manifest m
        where m.status = 'ok' and list_contains($photo_sets, m.photo_set) order by m.photo_set, m.photo_id
        """,  # noqa: S608 -- no value of a user is in the text
        manifest=manifest,
        photo_sets=list(photo_sets),
    )
