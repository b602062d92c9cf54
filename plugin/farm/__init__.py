"""Handing a shot to engines that exist: Dask, SLURM, Open Job Description, OpenCue, Deadline.

There is no scheduler here. ``paintover submit`` makes a :class:`plugin.farm.plan.FarmPlan`, the verbs that a shot takes
as argument lists, and an engine's module turns it into that engine's tasks. Each such module offers::

    SUMMARY: str            one line for the help
    MAX_CHUNKS: int         the most tasks of one step that the engine takes
    def submit(plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest) -> int

Its own options are declared in :mod:`plugin.arguments.engine_options`.

``submit`` returns an exit code or raises a :class:`engine.base.errors.PaintoverError`. An engine module imports what it
needs when it runs, so that the others work without it.
"""
