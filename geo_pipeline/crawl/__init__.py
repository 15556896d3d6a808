"""URL list -> shards + manifest: planning, fetching, politeness, address guard, photo decoding, ledger.

`bucket.py` is the entrance (`crawl_buckets`), `folder.py` imports pictures that are already on disk, `migration.py`
gives a photo set another number of buckets. Not here: reading the files people supply (geo_pipeline.photos) and the
shard format (geo_pipeline.shards).

How a photo travels: `planning` finds it due; `frontier` holds it until its origin may be asked; `fetching` makes one
request; `decisions` (pure) says what follows: another hop, another try, or an outcome; `photo` turns the body into an
upright sRGB JPEG; `storage` appends it to a shard and to the `ledger`; the finished bucket becomes its manifest.
`OUTCOMES.md` says what becomes of each URL.
"""
