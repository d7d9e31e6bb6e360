"""The environment of a computation: devices, random numbers, processes, interrupts."""
