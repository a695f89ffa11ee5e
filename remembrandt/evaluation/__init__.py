"""Measuring pictures: judges that read them, fidelity, diversity and forgetting. Start at `judges`."""
