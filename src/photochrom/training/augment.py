"""Training pairs from crops of photos, whole batches on the device that trains: Lab, grays of films, old prints."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..core.color import AB_SCALE, L_SCALE, lab_curve, rgb_to_gray, rgb_to_lab, srgb_to_linear
from .recipe import Data

# Of the Dirichlet distribution of a film's sensitivities to red, green and blue: old films see little red.
FILM = (0.8, 2.0, 1.6)
# The strongest defects of an old print, at a strength of 1.
BLUR = 1.4  # standard deviation in pixels
LOST_CONTRAST = 0.4  # share of the range from black to white
UNEVEN = 0.3  # change of the exposure from the middle to an edge
GRAIN, TEXTURE = 0.05, 0.03  # standard deviations, as shares of the range
SCRATCHES = 3  # lines
SPECKS = 5e-4  # share of the pixels that are the middle of one

Gray = Float[Tensor, "b 1 n n"]


def training_pair(rgb: Float[Tensor, "b 3 n n"], settings: Data, target: str) -> tuple[Gray, Tensor]:
    """Return `pair` of sRGB in [0, 1], with the grays of random films and old prints that the settings ask for."""
    gray, color = pair(rgb, settings.gray, target)
    if settings.film:
        # Filled on the device and not validated: both would wait for the device at every step.
        columns = [torch.full((len(rgb),), share, device=rgb.device) for share in FILM]
        sensitivity = torch.distributions.Dirichlet(torch.stack(columns, 1), validate_args=False).sample()
        chosen = _random(rgb) < settings.film
        gray = torch.where(chosen, film_gray(rgb, sensitivity)[:, None], gray)
    return degrade(gray, settings.degrade), color


def pair(rgb: Float[Tensor, "b 3 h w"], convention: str, target: str) -> tuple[Float[Tensor, "b 1 h w"], Tensor]:
    """Return the gray in [-1, 1] and the target of sRGB in [0, 1].

    The target is ab / 110 (b, 2, h, w) for ``ab``, sRGB in [-1, 1] (b, 3, h, w) for ``rgb``.
    """
    if target == "rgb":
        return rgb_to_gray(rgb, convention)[:, None], rgb * 2 - 1
    lab = rgb_to_lab(rgb)
    gray = lab[:, 0] / L_SCALE - 1 if convention == "lab" else rgb_to_gray(rgb, convention)
    return gray[:, None], lab[:, 1:] / AB_SCALE


def film_gray(rgb: Float[Tensor, "*b 3 h w"], sensitivity: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b h w"]:
    """Return gray in [-1, 1] of sRGB in [0, 1]: L of the exposure by linear red, green and blue in a film's shares."""
    exposure = (srgb_to_linear(rgb) * sensitivity[..., None, None]).sum(-3)
    return (116 * lab_curve(exposure) - 16) / L_SCALE - 1


def degrade(gray: Gray, strength: float) -> Gray:
    """Return the grays of old prints, each with random defects up to ``strength``; at 0, the grays as they are.

    At 1: a gamma from 1/2 to 2, blur, less contrast, uneven exposure, grain, the texture of paper, scratches, specks.
    The random numbers are those of torch on the device of the images.
    """
    if not strength:
        return gray
    sharp = (gray / 2 + 0.5).clamp(0, 1) ** 2 ** (_random(gray, -1, 1) * strength)
    light = _blur(sharp, _random(gray) * strength * BLUR)
    contrast = 1 - _random(gray) * strength * LOST_CONTRAST
    black = _random(gray) * (1 - contrast)
    light = light * contrast + black
    light = light * (1 + _random(gray) * strength * UNEVEN * _distance_to_line(gray))
    light = light + _random(gray) * strength * GRAIN * torch.randn_like(light)
    coarse = F.avg_pool2d(light, 4, ceil_mode=True)
    texture = F.interpolate(torch.randn_like(coarse), light.shape[-2:], mode="bicubic")
    light = light + _random(gray) * strength * TEXTURE * texture
    for _ in range(SCRATCHES):
        reach = _random(gray, 0.25, 1) * 2 / gray.shape[-1]  # lines of half a pixel to two; most prints have none
        scratched = (_distance_to_line(gray).abs() < reach) & (_random(gray) < strength / 4)
        light = torch.where(scratched, _random(gray, 0.6, 1), light)
    centers = (torch.rand_like(light) < SPECKS * strength * _random(gray)).to(light.dtype)
    light = torch.lerp(light, _random(gray).round(), F.max_pool2d(centers, 3, 1, 1))
    return light.clamp(0, 1) * 2 - 1


def _random(like: Tensor, low: float = 0, high: float = 1) -> Float[Tensor, "b 1 1 1"]:
    """Return a number for each image, uniform from low to high."""
    return torch.rand(len(like), 1, 1, 1, device=like.device) * (high - low) + low


def _distance_to_line(like: Gray) -> Gray:
    """Return each pixel's signed distance to a random line through each image, whose sides are 2 long."""
    steps = torch.linspace(-1, 1, like.shape[-1], device=like.device)
    angle = _random(like, 0, 2 * torch.pi)
    return angle.cos() * steps[:, None] + angle.sin() * steps + _random(like, -1, 1)


def _blur(images: Gray, deviation: Float[Tensor, "b 1 1 1"]) -> Gray:
    """Blur each image by a Gaussian of its own standard deviation, in pixels."""
    reach = round(3 * BLUR)
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.softmax(-((offsets / deviation.clamp(min=1e-2)) ** 2) / 2, -1)  # (b, 1, 1, 2 reach + 1)
    channels = images.transpose(0, 1)
    for axes, edges in ((kernel, (reach, reach, 0, 0)), (kernel.mT, (0, 0, reach, reach))):
        channels = F.conv2d(F.pad(channels, edges, "replicate"), axes, groups=len(images))
    return channels.transpose(0, 1)
