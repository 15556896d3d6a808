"""Everything that imports dagster: assets, checks, IO managers, partitions, resources, jobs, schedules, sensors.

Not here: any work itself; an asset reads its inputs, calls one library function and returns the result with metadata.
"""
