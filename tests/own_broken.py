"""A module of a user that imports what there is not."""

import no_such_package  # noqa: F401
