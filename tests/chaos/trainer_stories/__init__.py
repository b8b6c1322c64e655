"""The stories of the trainer: the same command again ends with the undisturbed run's losses."""
