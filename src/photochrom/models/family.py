"""The contract of a model family: `Family`, which every ``Model`` derives from, and `Network`, for what is exported."""

from collections.abc import Callable, Iterable, Mapping
from math import lcm
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

from torch import Tensor, nn

TRAINING_STATE = ("num_batches_tracked", ".counts", ".sums")  # of norms and codebooks: bundles do not have it


class Network(nn.Module):
    """A network that is exported to ONNX and called by a sampling procedure.

    ``inputs`` is required: the shape of each argument of ``forward``, in order and without the batch. A dimension is
    a size, or a name for one that varies: ``{"gray": (1, "h", "w"), "t": ()}``.
    """

    inputs: Mapping[str, tuple[int | str, ...]]
    size_multiple: int = 1  # divides the height and the width of every image in pixels
    discrete_output: bool = False  # values jump between levels, so an export may differ widely in a few of them
    learning_rates: Mapping[str, float] = MappingProxyType({})  # relative to the recipe's, by prefix of the parameter


class Family(nn.Module):
    """A model family: one way to colorize, with its networks, its losses and its sampling procedure.

    A family is a file or a package in `photochrom.models` whose name has no leading underscore and which defines
    ``Model``, a subclass of this class. Nothing else is edited. Required members:

    - ``Config``: a nested frozen dataclass, the ``[model]`` table of a recipe. Its ``__post_init__`` raises ValueError
      for settings that cannot work.
    - ``procedure``: how colors are sampled, a `core.sampling` procedure; its ``target`` is ``ab`` or ``rgb``.
    - ``net``: the `Network` that the procedure calls, or a module that holds several, under the ``network_names`` of
      its capabilities. A family with other parts lists them in ``trainable``; the first takes the place of
      ``net``, and a part can be a network by its own name.
    - `loss`.

    All other members are optional; their defaults are below. The weights of a `Network` whose parameters are all
    ``requires_grad_(False)`` are not trained, so they must come from ``--init``. CONTRIBUTING.md has a whole family.

    In all methods ``part`` is a name in ``trainable``, ``gray`` (b, 1, h, w) is in [-1, 1], and ``color`` is ab / 110
    (b, 2, h, w) or sRGB in [-1, 1] (b, 3, h, w), by ``procedure.target``.
    """

    Config: ClassVar[Any]
    procedure: Any

    trainable: tuple[str, ...] = ("net",)  # submodules that are trained, each with its own optimizer, in this order
    family_name: ClassVar[str]  # set by the name of the file or package
    gray_convention: str | None = None  # the only `data.gray` that this model works with; None: any
    image_size: int | None = None  # the only side of square images, in pixels, that this model works with; None: any
    minimum_size: int = 1  # shortest side of images in training, in pixels
    pretrained_from: str  # the families, in words, whose weights ``--init`` takes; by default its own

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.family_name = cls.__module__.removeprefix(f"{__package__}.").partition(".")[0]
        cls.pretrained_from = vars(cls).get("pretrained_from", cls.family_name)

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @property
    def frozen_weights(self) -> set[str]:
        """Names in the state dict that must come from ``--init``: all of networks that are not trained."""
        names: set[str] = set()
        for prefix, net in self.named_modules():
            parameters = list(net.parameters())
            if isinstance(net, Network) and parameters and not any(weight.requires_grad for weight in parameters):
                weights = [name for name in net.state_dict() if not name.endswith(TRAINING_STATE)]
                names.update(f"{prefix}.{name}" for name in weights)
        return names

    @property
    def size_multiple(self) -> int:
        """A number that must divide the height and the width of images, for all networks together."""
        return lcm(*(net.size_multiple for net in self.networks().values()))

    def networks(self) -> Mapping[str, Network]:
        """Return the networks to export, by the names in ``procedure.capabilities.network_names``."""
        networks = {}
        for name in self.procedure.capabilities.network_names:
            part = self.get_submodule(name if name in self.trainable else self.trainable[0])
            networks[name] = part if isinstance(part, Network) else cast(Network, part.get_submodule(name))
        return networks

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the losses of a part: ``total``, which is minimized, and others to be logged."""
        raise NotImplementedError

    def learning_rates(self, part: str) -> Mapping[str, float]:
        """Return learning rates relative to the recipe's, by prefix of the parameter; by default the networks' own."""
        rates = {}
        for name, module in self.get_submodule(part).named_modules():
            if isinstance(module, Network):
                for prefix, rate in module.learning_rates.items():
                    rates[f"{name}.{prefix}".removeprefix(".")] = rate
        return rates

    def diagnostics(self, means: Mapping[str, float]) -> Iterable[str]:
        """Return warnings about the means of recent losses, which are named ``part/loss``."""
        return ()

    def validation_metrics(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the family's own metrics of each image (b,), by name."""
        return {}

    def degraded_input(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return what ``procedure.restore`` starts from; required where the procedure does not colorize.

        ``noise(like)`` gives random numbers of the shape of ``like``.
        """
        raise NotImplementedError(f"{self.family_name} has no input to restore")

    @classmethod
    def merge_stages(cls, parts: Mapping[str, Self]) -> Self:
        """Return one model of stages that were trained apart, by the names of their runs.

        Raises ValueError for runs that do not make one model; by default for more than one.
        """
        if len(parts) > 1:
            raise ValueError(f"{', '.join(parts)}: the family {cls.family_name} has no stages to join: export one run")
        return next(iter(parts.values()))
