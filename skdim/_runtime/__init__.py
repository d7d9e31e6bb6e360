"""What a computation runs on: devices, random numbers, processes, interrupts."""
