"""What the settings of every backbone share: the weights it may begin from."""

from typing import TypeVar

from torch import nn

from nearfield.core.settings import Settings
from nearfield.models.pretrained import BACKBONE, load_pretrained

Module = TypeVar("Module", bound=nn.Module)


class Loadable(Settings):
    """Settings of a backbone, which can begin from the weights of another training."""

    kind: str
    weights: str | None = None
    """Weights to begin from: a safetensors file, hub:OWNER/NAME, or a run's folder; none: drawn by chance."""

    def begun(self, module: Module) -> Module:
        """The module itself, with its first weights in place.

        Raises RequestError where `weights` cannot be read, or are another backbone's.
        """
        if self.weights is not None:
            load_pretrained(module, self.weights, BACKBONE, self)
        return module
