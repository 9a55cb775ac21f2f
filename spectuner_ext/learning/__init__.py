"""The core of every training: seeds, schedules, replay, checkpoints, records, and a kit for the loop. No physics."""
