"""What an artifact costs and how well it answers, in the runtime that users deploy.

This file imports nothing, so that `edgepipe.measure.settings` stays cheap to read for `--help`.
"""
