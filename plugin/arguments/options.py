"""The values of a command line's options, typed.

A value left out is None: its default is decided where the shot file is known.
"""

from __future__ import annotations

import argparse

from engine.shot.keyframes import Keyframe
from plugin.arguments.shard import Shard

__all__ = ["Options"]


class Options(argparse.Namespace):
    """What was given; None or False where nothing was, also for options that the verb does not have.

    The options themselves are declared in :mod:`plugin.arguments.table` and its neighbors.
    """

    shot: str | None = None
    path: str | None = None
    plate: str | None = None
    frames: str | None = None
    layer: str | None = None
    keyframes: list[Keyframe] | None = None
    keyframe_numbers: list[int] | None = None
    out: str | None = None
    work: str | None = None
    look: str | None = None
    colorspace: str | None = None
    paint_colorspace: str | None = None
    ocio: str | None = None
    budget: float | None = None
    """Seconds."""
    steps: int | None = None
    seed: int | None = None
    recipe: str | None = None
    augment: str | None = None
    crisp: bool = False
    features: str | None = None
    resume: bool = False
    start: str | None = None
    fresh: bool = False
    fit_paintings: bool = False
    unpainted: str | None = None
    matte: str | None = None
    matte_use: str | None = None
    device: str | None = None
    threads: int | None = None
    max_image_gib: float | None = None
    workers: int | None = None
    """0 where it is to be found out."""
    tile: int | None = None
    tensorrt: bool = False
    overwrite: bool = False
    no_stmaps: bool = False
    no_repaint: bool = False
    carried: bool = False
    softness: float | None = None
    depth: str | None = None
    compression: str | None = None
    denoise: str | None = None
    guides: str | None = None
    vectors: str | None = None
    backward_vectors: str | None = None
    display: str | None = None
    view: str | None = None
    exposure: float | None = None
    """Stops."""
    reference: str | None = None
    reference_colorspace: str | None = None
    seconds: int | None = None
    settings: str | None = None
    grid: str | None = None
    full_grid: bool = False
    count: int | None = None
    page: str | None = None
    remove: bool = False
    socket: str | None = None
    ask: str | None = None
    idle: float | None = None
    """Seconds."""
    memory: float | None = None
    """GiB."""
    to: list[str] | None = None
    place: str | None = None
    style: list[str] | None = None
    exemplars: list[str] | None = None
    style_scale: float | None = None
    style_strength: float | None = None
    steadiness: float | None = None
    style_layers: str | None = None
    colors: str | None = None
    iterations: int | None = None
    strokes: bool = False
    stroke_count: int | None = None
    pixel_iterations: int | None = None
    directions: str | None = None
    passes: int | None = None
    long_term: str | None = None
    preview: bool = False
    port: int | None = None
    """0 for any free one."""
    no_browser: bool = False
    source: str | None = None
    loop: bool = False
    rate: float | None = None
    """Frames per second."""
    size: int | None = None
    """Pixels; 0 for the source's own."""
    keyframe_at: int | None = None
    """Place among the pictures of the source, from 0."""
    keyframe_painting: str | None = None
    duration: float | None = None
    """Seconds."""
    pictures: int | None = None
    json: bool = False
    out_colorspace: str | None = None
    shard: Shard | None = None
    expect_look: str | None = None
    expect_stmaps: bool = False
    expect_prepared: bool = False
    resident: str | None = None
    timeout: float | None = None
    """Seconds."""
    frames_dialect: str | None = None
    path_mapping: str | None = None
    engine: str | None = None
    chunk: int | None = None
    frame_time: float | None = None
    """Seconds."""
    retries: int | None = None
    gpu: bool = False
    progress: str = "auto"
    debug: bool = False

    # Of farm engines
    program: str | None = None
    address: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    worker_path_mapping: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gres: str | None = None
    cpus: int | None = None
    task_memory: str | None = None
    at_once: int | None = None
    sbatch: list[str] | None = None
    dry_run: bool = False
    write_only: bool = False
    bundle: str | None = None
    session: bool = False
    show: str | None = None
    cue_shot: str | None = None
    user: str | None = None
    facility: str | None = None
    service: str | None = None
    tags: str | None = None
    priority: int | None = None
    pool: str | None = None
    group: str | None = None
