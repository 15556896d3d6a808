"""The MessagePack shard format: write, read sequentially, read at random, and the manifest that indexes it.

`format.py` writes and iterates shards, `reader.py` gives memory-mapped random access, `manifest.py` holds the
outcome vocabulary and the columns of the manifest. Not here: where pictures come from (geo_pipeline.crawl) and how
they are decoded for training (geo_pipeline.training).
"""
