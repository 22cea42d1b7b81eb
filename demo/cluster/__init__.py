"""Networks that run on a Ray cluster.

The page's process has `worker.ClusterWorker`, which imports nothing of Ray. It talks to another process, `driver`,
as Ray ends a process that has lost its cluster; and that one hands questions on to the replicas, `replica`.
"""
