"""Models and colours: the light path, which never imports torch."""
