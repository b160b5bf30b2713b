"""The roof for people: the pages that compose all apps, and what a browser is shown when nothing else answers."""
