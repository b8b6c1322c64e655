"""More than one process: a corpus, a screening, a regrading or an export in parts.

    screen X.toml --parts 64 --on local:16      run X.toml --parts 64 --on ray:ADDRESS
    run X.toml --part 7/64                      regrade CORPUS DEST --on local:16

A part is one piece of work with one outcome on the disk, put there when it is whole, so it may be
done again at will. Who starts the parts is no scheduler of ours: processes on this machine, Ray's
tasks, or an array job of Slurm.
"""
