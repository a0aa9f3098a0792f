"""From a YAML file to typed settings, or to a list of everything wrong with it."""
