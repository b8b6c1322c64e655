"""The same work given to Stillhouse and to its peers: `python -m benchmarks.peers`.

`worlds`        what is to be done, and what goes wrong
`server`        the fake provider that all of them ask, and its books
`clients`       a script for each peer, as its own documentation would have it
`environments`  where the peers live: one environment each, versions pinned
`running`       one client on one world, measured from outside
`accounts`      what came of it: rows kept, lost, doubled; calls paid for nothing
`page`          tables and plots
"""
