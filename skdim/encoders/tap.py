"""Turn any network with named layers into an encoder."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import get_ident

import torch
from torch import Tensor, nn

from skdim.encoders.contract import Encoding, as_local_map, evaluating, normalized_code


@dataclass(frozen=True)
class Tap:
    """The result of `tap`. Called like an encoder class, it builds a `TappedEncoder`."""

    factory: Callable[..., nn.Module]
    local: str | tuple[str, ...]
    hidden: str

    def __call__(
        self, sample_shape: tuple[int, ...], n_components: int | None, **factory_params
    ) -> "TappedEncoder":
        """Build the network and add a code layer."""
        network = self.factory(**factory_params)
        return TappedEncoder(network, self.local, self.hidden, sample_shape, n_components)

    def __deepcopy__(self, memo) -> "Tap":
        return self  # immutable, so that the factory need not be copied


def tap(factory: Callable[..., nn.Module], *, local: str | tuple[str, ...], hidden: str) -> Tap:
    """Turn a network, such as one of torchvision or timm, into an encoder.

    The outputs of two of its layers are used: one as the local map, one as the hidden layer. A new
    linear code is computed from the hidden layer. Later layers of the network are not used.

    Parameters
    ----------
    factory : callable (**encoder_params) -> nn.Module
        Builds the network, for instance ``torchvision.models.resnet18``. It is called in every
        ``fit``, and again when a fitted transformer is loaded, so it should not download anything.
        It must be importable from a module if the transformer is to be saved.
    local : str or tuple of str
        Name of the layer whose output is the local map, as in ``network.named_modules()``; a tuple
        of names for several maps. The shape of the output is (n, channels, *sides) or, for images
        and volumes, (n, tokens, channels).
    hidden : str
        Name of the layer whose flattened output is the hidden layer.

    Returns
    -------
    encoder : Tap
        A valid ``encoder`` of `DIMTransformer`; its ``encoder_params`` go to ``factory``.

    Examples
    --------
    >>> from torch import nn
    >>> from skdim import DIMTransformer
    >>> from skdim.encoders import tap
    >>> def build(width=8):
    ...     return nn.Sequential(
    ...         nn.Conv2d(1, width, 3),
    ...         nn.ReLU(),
    ...         nn.AdaptiveAvgPool2d(1),
    ...         nn.Flatten(),
    ...     )
    >>> dim = DIMTransformer(
    ...     8, encoder=tap(build, local="1", hidden="2"), max_epochs=1
    ... )
    """
    return Tap(factory, local, hidden)


class TappedEncoder(nn.Module):
    """A network that gives local maps and a hidden layer, and a code computed from the latter."""

    def __init__(
        self,
        network: nn.Module,
        local: str | tuple[str, ...],
        hidden: str,
        sample_shape: tuple[int, ...],
        n_components: int | None,
    ):
        super().__init__()
        self.network = network
        self.names = (*((local,) if isinstance(local, str) else local), hidden)
        layers = dict(network.named_modules())
        for name in self.names:
            if name not in layers:
                raise ValueError(
                    f"tap() needs names of layers of {type(network).__name__}, such as "
                    f"{[layer_name for layer_name in layers if layer_name][:8]}. Got {name!r}."
                )
        self.n_input_axes = 1 + len(sample_shape)
        with torch.no_grad(), evaluating(network):
            *_, hidden_layer = self._outputs(torch.zeros(2, *sample_shape))
        self.code = normalized_code(hidden_layer.flatten(1).shape[1], n_components)

    def forward(self, x: Tensor) -> Encoding:
        """Encode samples of shape (n, *sample_shape)."""
        *local_maps, hidden = self._outputs(x)
        hidden = hidden.flatten(1)
        return Encoding(self.code(hidden), hidden, tuple(map(self._as_local_map, local_maps)))

    def _as_local_map(self, output: Tensor) -> Tensor:
        # An output of three axes, if the input has more, has the shape (n, tokens, channels).
        is_tokens = output.ndim == 3 < self.n_input_axes
        return output if is_tokens else as_local_map(output)

    def _outputs(self, x: Tensor) -> list[Tensor]:
        """Run the network and return the outputs of the named layers."""
        outputs: dict[str, Tensor] = {}
        thread = get_ident()

        def make_hook(name):
            def store(module, inputs, output):
                if get_ident() == thread:  # another thread may run the same network
                    outputs[name] = output

            return store

        hooks = [
            self.network.get_submodule(name).register_forward_hook(make_hook(name))
            for name in self.names
        ]
        try:
            self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return [outputs[name] for name in self.names]
