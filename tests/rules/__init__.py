"""Properties of the source that are kept by tests: each file here is one rule, over all of edgepipe's files."""
