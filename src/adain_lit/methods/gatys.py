"""Style transfer by optimising pixels (Gatys et al. 2016), with the losses of this project."""

from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm
from adain_lit.losses import PerceptualLoss
from adain_lit.nets import LossNetwork, VGGEncoder

RATES = {"lbfgs": 1.0, "adam": 0.02}
"""Step size of each optimiser, unless one is given."""
STARTS = ("content", "noise")
TARGETS = ("fused", "content")


@dataclass(eq=False, repr=False)
class Gatys:
    """Stylises a batch of pairs by minimising the loss over the pixels.

    With ``target="fused"`` it minimises the loss that the feed-forward network is trained with (Eq. 11) and so
    estimates how low that loss can get. The published method is ``target="content"`` with ``statistic="gram"``.

    Args:
        loss_network: the network phi that the losses are measured with.
        criterion: content and style loss and their weights.
        iterations: evaluations of the loss; the paper compares with 500.
        optimizer: ``lbfgs``, as in the common implementations, or ``adam``.
        lr: step size; None takes that of `RATES`, 1 for ``lbfgs`` and 0.02 for ``adam``.
        start: ``content`` or ``noise``.
        target: of the content loss: ``fused``, AdaIN's t (Eq. 12), or ``content``, f(c) itself.
        statistic: of the style loss: ``mean_std`` or ``gram``; None means that of `criterion`.
        style_weight: lambda; None means that of `criterion`. Gram matrices are on a different scale than means.
        seed: of the noise.
        progress: show a progress bar.

    Attributes:
        history: ``content_loss`` and ``style_loss`` of the last call, each a list with a tensor (N,) for every
            evaluation of the loss, those of a line search included.

    Raises:
        InputError: if a setting is unknown or out of range.

    Example:
        >>> from adain_lit.weights import load_encoder
        >>> gatys = Gatys(load_encoder("compact"), PerceptualLoss(), iterations=2, progress=False)
        >>> gatys(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)).shape, len(gatys.history["style_loss"])
        (torch.Size([1, 3, 32, 32]), 2)
    """

    loss_network: VGGEncoder | LossNetwork
    criterion: PerceptualLoss
    _: KW_ONLY
    iterations: int = 500
    optimizer: str = "lbfgs"
    lr: float | None = None
    start: str = "content"
    target: str = "fused"
    statistic: str | None = None
    style_weight: float | None = None
    seed: int = 0
    progress: bool = True
    history: dict[str, list[Tensor]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for what, known in (("optimizer", RATES), ("start", STARTS), ("target", TARGETS)):
            if getattr(self, what) not in known:
                raise InputError(
                    f"unknown {what} {getattr(self, what)!r} of Gatys' method; known are {', '.join(known)}"
                )
        if self.iterations < 1:
            raise InputError(f"iterations is {self.iterations}; it must be at least 1")
        own = {"style_weight": self.style_weight, "style_statistic": self.statistic}
        self.criterion = PerceptualLoss(self.criterion.config, **{k: v for k, v in own.items() if v is not None})
        self.rate = RATES[self.optimizer] if self.lr is None else self.lr

    @torch.enable_grad()
    def __call__(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise: content (N, 3, H, W) and style (N, 3, H', W') to (N, 3, H, W), RGB in [0, 1]."""
        layers, content_layer = self.criterion.layers, self.criterion.content_layer
        with torch.no_grad():
            style_features = self.loss_network(style, layers)
            target = self.loss_network(content, (content_layer,))[content_layer]
            if self.target == "fused":
                target = adaptive_instance_norm(target, style_features[content_layer])
        pixels = self._first(content).requires_grad_()
        self.history = {"content_loss": [], "style_loss": []}
        bar = tqdm(total=self.iterations, desc="optimising pixels", unit="iteration", disable=not self.progress)

        def closure() -> Tensor:
            pixels.grad = None
            with torch.no_grad():
                pixels.clamp_(0, 1)  # otherwise values outside [0, 1] would lower the loss
            losses = self.criterion(self.loss_network(pixels, layers), target, style_features)
            loss: Tensor = losses["loss"].sum()
            loss.backward()  # type: ignore[no-untyped-call]
            for name, values in self.history.items():
                values.append(losses[name].detach().cpu())
            bar.update()
            return loss

        adam = torch.optim.Adam([pixels], lr=self.rate)
        while (done := len(self.history["style_loss"])) < self.iterations:
            if self.optimizer == "adam":
                adam.step(closure)
            else:
                self._lbfgs(pixels, self.iterations - done).step(closure)  # type: ignore[no-untyped-call]
        bar.close()
        return pixels.detach().clamp(0, 1)

    def _lbfgs(self, pixels: Tensor, left: int) -> torch.optim.LBFGS:
        """An optimiser for the remaining evaluations; it may stop early, since clamping spoils its curvature."""
        return torch.optim.LBFGS(
            [pixels],
            lr=self.rate,
            max_iter=left,
            max_eval=left,  # counts the same evaluations as the history
            history_size=50,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

    def _first(self, content: Tensor) -> Tensor:
        if self.start == "content":
            return content.detach().clone(memory_format=torch.contiguous_format)  # L-BFGS takes a flat view of it
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(content.shape, generator=generator).to(content)
