"""A member of a consortium that has no coordinator: each is connected with each, and they agree on what comes next."""
