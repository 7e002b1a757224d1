"""L8. One file a target: ``render(job, settings) -> Rendered``, pure, with the settings a typed tuple of that file."""
