"""What a person asks before anything runs: a first profile for some lists, and what a profile would have to do.

`first_profile.py` is the entrance of `geo-pipeline init`, `workload.py` that of `geo-pipeline plan`. Not here: doing
any of it. Nothing here makes a request; only a first profile writes files, and never over existing ones.
"""
