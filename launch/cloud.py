"""L8. What the targets that rent machines have in common: settings that Google reads, what is looked at here."""

from collections.abc import Mapping

from launch import shell

RULES: dict[str, tuple[str, str]] = {
    "zone": (r"[a-z]+-[a-z]+\d+-[a-z]", "a zone, such as us-west4-a"),
    "project": (r"|([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", "the id of a project, such as my-project-123"),
    "extras": (r"\w+(,\w+)*", "names of extras in pyproject.toml, separated by commas, such as tpu,tracking"),
    "mounts": (r"/[\w./-]+", "an absolute path of letters, digits, - and _"),
}
"""Setting -> what all of it fits, and that in words."""


def check_cloud_settings(target: str, settings: Mapping[str, str], *fields: str) -> None:
    """Raises InputError for one of these settings, or of all that RULES has, that Google would refuse."""
    for field in fields or RULES:
        pattern, expected = RULES[field]
        shell.require_pattern(shell.flag(target, field), settings[field], pattern, expected)


def looked_at(values: Mapping[str, shell.Value]) -> dict[str, shell.Value]:
    """Variables of ``scripts/buckets_here.sh``, of those of ``buckets.shell_values``: nothing is mounted here."""
    return {name: values[name] for name in ("buckets", "workdir_bucket", "workdir_url", "role")}
