"""Read machines and hand over samples; nothing here knows of money."""
