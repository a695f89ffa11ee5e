"""Schedules, parametrisations, samplers: the mathematics, in torch alone. Start at `samplers`."""
