"""What is borrowed from audiomentations: one item at a time, on the processor, tens of milliseconds each."""

import importlib.util
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.models.augmentations.augmentation import Augmentation, Span, uniform


class Borrowed(Augmentation):
    """Bends each chosen item by a transform of audiomentations with one amount, drawn here.

    The library's own chance is not used. Its stretching knows one and two channels, so more go one by one.
    """

    domain = "wave"

    def __init__(self, probability: float, sample_rate: int, limits: Span) -> None:
        super().__init__(probability)
        if importlib.util.find_spec("audiomentations") is None:
            raise RequestError(
                "augment: stretch and pitch need the package audiomentations, which is not installed. "
                'Run: pip install "nearfield[augment]"'
            )
        self.sample_rate, self.limits = sample_rate, limits

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"amount": uniform(shape[0], self.limits, generator)}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        result = signal.clone()
        for item in torch.nonzero(drawn["bent"])[:, 0].tolist():
            transform = self._transform()
            transform.parameters = {"should_apply": True, self._parameter: float(drawn["amount"][item])}
            transform.freeze_parameters()
            wave = signal[item].float().cpu().numpy()
            parts = (
                [wave] if len(wave) <= 2 else [wave[channel : channel + 1] for channel in range(len(wave))]
            )
            bent = np.concatenate([transform(part, self.sample_rate) for part in parts])
            result[item] = torch.from_numpy(bent).to(signal)
        return result

    _parameter: str
    """The library's name for the amount."""

    @abstractmethod
    def _transform(self) -> Any:
        """A fresh transform of the library."""
