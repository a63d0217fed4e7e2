"""The runtime of consumers.

``source/`` receives and settles messages, `decoder` parses an event, `inbox` knows which events were handled,
`consumer` maps an event to the method that handles it, and `decision` decides what becomes of the message. `loop`
calls them in this order; `composition` builds them from settings.
"""
