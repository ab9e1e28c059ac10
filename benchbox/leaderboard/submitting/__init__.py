"""From a finished run to entries: what the protocol asks, what the store holds, all or nothing."""
