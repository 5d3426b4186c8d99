"""What the settings of every backbone share: the weights it may begin from."""

from typing import ClassVar, TypeVar

from torch import nn

from nearfield.core.settings import Settings
from nearfield.models.pretrained import BACKBONE, load_pretrained

Module = TypeVar("Module", bound=nn.Module)


class Loadable(Settings):
    """Settings of a backbone, which can begin from the weights of another training."""

    kind: str
    weights: str | None = None
    """Weights to begin from: a safetensors file, hub:OWNER/NAME, or a run's folder; none: drawn by chance."""

    introductions: ClassVar[dict[str, str]] = {
        "weights": (
            "What the network begins from. Weights of another training bring what was learnt there, and "
            "training is shorter (Yosinski et al. 2014); where the other task asked for something else, they "
            "hold what does not help, and given enough clips and updates a start by chance catches up (He et "
            "al. 2019). The updates of the other training come on top of those that are compared."
        ),
    }

    def begun(self, module: Module) -> Module:
        """The module itself, with its first weights in place.

        Raises RequestError where `weights` cannot be read, or are another backbone's.
        """
        if self.weights is not None:
            load_pretrained(module, self.weights, BACKBONE, self)
        return module
