"""To and from the Hugging Face Hub, by the extra `hub`; nothing goes out unless one of the two is called."""

from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError, WorkError
from nearfield.runs.run import Run
from nearfield.space.export.huggingface import FILES


def push(folder: str | Path, name: str, *, private: bool = True, endpoint: str | None = None) -> str:
    """Uploads an exported folder to the repository OWNER/NAME, made if missing; gives the commit's address.

    Credentials are those of `hf auth login` or HF_TOKEN. `endpoint`: another Hub than huggingface.co. Raises
    RequestError where the folder is no export or the extra is missing, WorkError where the Hub refuses.
    """
    path = Path(folder).expanduser()
    if not all((path / file).is_file() for file in ("config.json", "model.safetensors", "recipe.yaml")):
        raise RequestError(f"{folder} is no exported run. Make one: nearfield export RUN --to huggingface")
    api = _hub().HfApi(endpoint=endpoint)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=path,
            allow_patterns=list(FILES),
            commit_message="Space learnt with Nearfield",
        )
    except Exception as error:  # the hub's errors and the network's have no common root
        raise WorkError(
            f"The Hub did not take {name!r}: {error}. Check the name (OWNER/NAME), the network, and "
            "`hf auth whoami`."
        ) from None
    return str(done.commit_url)


def pull(
    name: str,
    *,
    revision: str | None = None,
    cache: str | Path | None = None,
    offline: bool = False,
    endpoint: str | None = None,
) -> Run:
    """A run from the repository OWNER/NAME, kept in the Hub's cache (or `cache`); `offline` asks no network.

    Only the files of an exported run are fetched: weights as safetensors, settings as text, no code. Raises
    RequestError where there is none.
    """
    hub = _hub()
    try:
        path = hub.snapshot_download(
            name,
            revision=revision,
            cache_dir=cache,
            local_files_only=offline,
            allow_patterns=list(FILES),
            endpoint=endpoint,
        )
    except Exception as error:  # as above
        raise RequestError(
            f"Could not fetch {name!r} from the Hub: {error}. Check the name (OWNER/NAME) and the network, "
            "or give the path of an exported folder to Run.load."
        ) from None
    return Run.load(path)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise RequestError(
            "The Hugging Face Hub needs the package huggingface_hub, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    return huggingface_hub
