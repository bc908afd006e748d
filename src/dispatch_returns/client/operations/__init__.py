"""The endpoints: each is one pure function that returns an `Operation`, a file per resource.

The first argument is the workspace; the others are the arguments of the client's method of
that name, so that the blocking and the async client have the same ones.
"""
