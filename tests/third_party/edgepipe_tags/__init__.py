"""One of everything that edgepipe takes from outside: a task, data, a model source, a format, a place and a pass."""
