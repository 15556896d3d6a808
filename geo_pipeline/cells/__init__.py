"""Adaptive S2 partitionings of the earth: making them, reading published ones, finding the cell of a photo.

Here live the geometry on the sphere (leaf ids, outlines, distances) and the tables of cells and of their hierarchy.
Not here: reading photo lists, and anything a network learns about cells. The one idea: an S2 cell is a range of
64-bit leaf ids, so splitting, assigning and finding ancestors are searches in sorted integers.
"""
