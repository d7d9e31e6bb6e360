"""Ground floor: devices, processes, files and registries, without a word of Deep InfoMax."""
