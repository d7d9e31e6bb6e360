# Two commands, each enough on a fresh clone:
#   make demo   the main job on real images, with a picture
#   make test   lint, types and the whole suite
# and, besides: make test-all (every combination of choices), make docs check-docs (the site,
# looked at in a browser), make plots (pictures of the benchmarks), make fuzz, make bench, make gpu.
