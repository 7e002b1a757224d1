"""L8. One file a target: ``render_NAME(job, settings) -> Rendered``, pure, and its settings, a typed tuple."""
