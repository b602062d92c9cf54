"""RAFT: another source of motion vectors, with weights from a file."""
