"""The MessagePack shard format: write, read sequentially, read at random, and the manifest that indexes it.

`format.py` writes and iterates shards (around damage, if asked), `reader.py` gives memory-mapped access by offset and
`photo_reader.py` by photo id, `verify.py` holds shards against their manifest, `downloaded.py` finds what folders
hold, `manifest.py` has the outcome vocabulary and the columns of the manifest; `messagepack.py` and `jpeg.py` know as
much of these two formats as that takes. Not here: where pictures come from (geo_pipeline.crawl) and how they are
decoded for training (geo_pipeline.training).
"""
