"""Before the first sum: identities, a schema, the consortium's file and each process's own, and a check of them all."""
