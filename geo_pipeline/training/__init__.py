"""Training base(M, f*): config, data, loss, schedule, the Lightning module, and the process that runs it.

Not here: the network and its predictions (geo_pipeline.model), and the Dagster asset that starts the process. The one
idea: a training is a function of its job file, so it can be killed, resumed and repeated. Importing this package, its
`config` or its `job` imports no torch.
"""
