"""Networks that run on a Ray cluster.

What the page has of it is `networks.Cluster`, which imports nothing of Ray. It talks to a process of its own,
`driver`, as Ray ends a process that has lost its cluster; and that one hands queries on to the replicas, `replica`.
"""
