"""What people supply about photos: URL lists, metadata, data sets, folders of pictures, and how they are joined.

Here lives the reading of input files with every bad row kept and explained, the choice of a photo's bucket, and the
joins between list, metadata, classes and manifest. Not here: any download (crawl) or any cell (cells).
"""
