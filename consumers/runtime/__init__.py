"""What every consumer runs on: a delivery falls through these modules from top to bottom.

``source/`` brings it and settles it, `decoder` makes an event of it, `inbox` says whether it was handled, `consumer`
whose method handles it, and `verdict` what becomes of it. `loop` drives them, `composition` puts them together.
"""
