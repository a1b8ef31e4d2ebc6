"""The same tasks written with each library: a module each, a function per task."""
