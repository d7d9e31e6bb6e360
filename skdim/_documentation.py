"""Where the pages of skdim are, which the diagrams of scikit-learn link to."""

from importlib.metadata import PackageNotFoundError, metadata


def api_page(package: str) -> str:
    """Return the address of an estimator's page, with its name left open.

    Parameters
    ----------
    package : str
        The public module of the estimator, for instance "skdim".

    Returns
    -------
    str
        For instance ``"https://example.org/generated/skdim.{estimator_name}.html"``, which begins
        with the address that ``[project.urls]`` of ``pyproject.toml`` calls "Documentation".
        Empty if there is none: diagrams then have no links.
    """
    site = project_urls().get("Documentation", "").rstrip("/")
    return f"{site}/generated/{package}.{{estimator_name}}.html" if site else ""


def project_urls() -> dict[str, str]:
    """Return the addresses of the installed package, by their labels."""
    try:
        lines = metadata("skdim").get_all("Project-URL") or []
    except PackageNotFoundError:  # a source tree that is not installed
        return {}
    pairs = (line.partition(",") for line in lines)
    return {label.strip(): address.strip() for label, _, address in pairs}
