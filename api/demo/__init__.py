"""The main job on sample data: lists in, certificates out, decisions, an audit. Everyone in it is synthetic."""
