"""From picture files of any format to 8-bit sRGB pixels, by Pillow alone.

Here lives what the crawl and `predict` share when they meet a picture that is no common JPEG: formats, transparency,
depth, colour profiles, decoding in strips. Not here: what is refused and why (crawl.photo, model.pictures) and the
fast way of common JPEGs (crawl.jpeg). The one idea: memory is known from the header before anything is decoded.
"""
