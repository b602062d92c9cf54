"""Motion: flow between frames, a keyframe followed through a shot, and the STMaps that say where strokes go."""
