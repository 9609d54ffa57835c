"""Color spaces on channel-first arrays, the same code for numpy and torch.

Arrays are ``(..., 3, h, w)``: sRGB in [0, 1], linear light in [0, 1], XYZ with white at Y = 1, or CIE Lab (1976) under
D65 with L in [0, 100]. float32 stays float32, and no value gives NaN: powers take clipped bases.

Matrix and white: IEC 61966-2-1 primaries (the rows sum to the white, so neutral grays have a = b = 0).
"""

import sys
from typing import Any

from jaxtyping import Float

TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
FROM_XYZ = (
    (3.2404541621, -1.5371385128, -0.4985314096),
    (-0.9692660305, 1.8760108454, 0.0415560175),
    (0.0556434310, -0.2040259135, 1.0572251882),
)
WHITE = (0.95047, 1.0, 1.08883)
KNEE = 6 / 29  # below it, the cube root of Lab is replaced by its tangent
L_SCALE, AB_SCALE = 50.0, 110.0  # between modules: gray = L / 50 - 1, ab = ab / 110
BIN_STEP = 10  # Lab units between the color bins of Zhang et al. (2016)
GRAY_CONVENTIONS = ("lab", "luma", "mean")
# The gamut in linear light, with room for black and white themselves, which would otherwise stand on its very edge.
GAMUT = (-1e-3 / 65536, 1 + 0.02 / 65536)

RGB = Float[Any, "*b 3 h w"]
Lab = Float[Any, "*b 3 h w"]
Plane = Float[Any, "*b h w"]


def namespace(x: Any) -> Any:
    """Return the library of an array (numpy or torch) without importing either."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def _channels(x: Any) -> tuple[Any, Any, Any]:
    return x[..., 0, :, :], x[..., 1, :, :], x[..., 2, :, :]


def _mix(matrix: tuple[tuple[float, float, float], ...], x: Any) -> Any:
    a, b, c = _channels(x)
    return namespace(x).stack([i * a + j * b + k * c for i, j, k in matrix], -3)


def srgb_to_linear(rgb: RGB) -> RGB:
    """sRGB in [0, 1] -> linear light (IEC 61966-2-1)."""
    curve = ((rgb.clip(0.04045, None) + 0.055) / 1.055) ** 2.4
    return namespace(rgb).where(rgb > 0.04045, curve, rgb / 12.92)


def linear_to_srgb(linear: RGB) -> RGB:
    """Linear light -> sRGB, clipped to [0, 1]."""
    linear = linear.clip(0, 1)
    curve = 1.055 * linear.clip(0.0031308, None) ** (1 / 2.4) - 0.055
    return namespace(linear).where(linear > 0.0031308, curve, 12.92 * linear).clip(0, 1)


def linear_to_xyz(linear: RGB) -> RGB:
    """Linear sRGB -> XYZ (D65)."""
    return _mix(TO_XYZ, linear)


def xyz_to_linear(xyz: RGB) -> RGB:
    """XYZ (D65) -> linear sRGB; colors outside the gamut fall outside [0, 1]."""
    return _mix(FROM_XYZ, xyz)


def xyz_to_lab(xyz: RGB) -> Lab:
    """XYZ (D65, Y of white 1) -> Lab."""
    x, y, z = _channels(xyz)
    fx, fy, fz = lab_curve(x / WHITE[0]), lab_curve(y / WHITE[1]), lab_curve(z / WHITE[2])
    return namespace(xyz).stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], -3)


def lab_curve(value: Any) -> Any:
    """Return f of Lab: the cube root of light in [0, 1], near black its tangent (CIE 15)."""
    curve = value.clip(KNEE**3, None) ** (1 / 3)
    return namespace(value).where(value > KNEE**3, curve, value / (3 * KNEE**2) + 4 / 29)


def lab_to_xyz(lab: Lab) -> RGB:
    """Lab -> XYZ (D65, Y of white 1)."""
    xp = namespace(lab)

    def inverse(f: Any) -> Any:
        return xp.where(f > KNEE, f**3, (f - 4 / 29) * (3 * KNEE**2))

    lightness, a, b = _channels(lab)
    fy = (lightness + 16) / 116
    x, y, z = inverse(fy + a / 500), inverse(fy), inverse(fy - b / 200)
    return xp.stack([WHITE[0] * x, WHITE[1] * y, WHITE[2] * z], -3)


def rgb_to_lab(rgb: RGB) -> Lab:
    """sRGB in [0, 1] -> Lab."""
    return xyz_to_lab(linear_to_xyz(srgb_to_linear(rgb)))


def lab_to_rgb(lab: Lab) -> RGB:
    """Lab -> sRGB in [0, 1], clipped channel by channel; apply `fit_gamut` first to keep L."""
    return linear_to_srgb(xyz_to_linear(lab_to_xyz(lab)))


def signed_rgb_to_ab(rgb: RGB) -> Float[Any, "*b 2 h w"]:
    """sRGB in [-1, 1], the range of networks -> ab / 110."""
    return rgb_to_lab((rgb / 2 + 0.5).clip(0, 1))[..., 1:, :, :] / AB_SCALE


def rgb_to_gray(rgb: RGB, convention: str = "lab") -> Plane:
    """sRGB in [0, 1] -> gray in [-1, 1]: ``lab`` (L), ``luma`` (ITU-R BT.601) or ``mean`` of the channels."""
    r, g, b = _channels(rgb)
    if convention == "lab":
        return _channels(rgb_to_lab(rgb))[0] / L_SCALE - 1
    if convention == "luma":
        return (0.299 * r + 0.587 * g + 0.114 * b) * 2 - 1
    if convention == "mean":
        return (r + g + b) * (2 / 3) - 1
    raise ValueError(f"gray convention {convention!r}: choose one of {', '.join(GRAY_CONVENTIONS)}")


def fit_gamut(lab: Lab) -> Lab:
    """Return colors that sRGB has, with L clipped to [0, 100]; colors inside the gamut are left as they are.

    A color outside is moved towards the gray of the same Y, along a straight line in linear light, as far as the edge
    of the gamut. That keeps L exactly, and the hue as light mixes. `imaging.chroma` is the same in optimized form.
    """
    xp = namespace(lab)
    lightness, a, b = _channels(lab)
    lab = xp.stack([lightness.clip(0, 100), a, b], -3)
    xyz = lab_to_xyz(lab)
    luminance = xyz[..., 1:2, :, :]
    offset = xyz_to_linear(xyz) - luminance  # from the gray; its own Y is 0
    room_below, room_above = GAMUT[0] - luminance, GAMUT[1] - luminance
    # The share of the offset that fits; where all of it does, the maximum is the room itself and the share exactly 1.
    largest, smallest = xp.amax(offset, -3)[..., None, :, :], xp.amin(offset, -3)[..., None, :, :]
    share = xp.minimum(room_above / xp.maximum(largest, room_above), room_below / xp.minimum(smallest, room_below))
    fitted = xyz_to_lab(linear_to_xyz(luminance + offset * share))
    fitted = xp.concatenate([lab[..., :1, :, :], fitted[..., 1:, :, :]], -3)
    return xp.where(share < 1, fitted, lab)


def colorfulness(rgb: RGB, absolute: bool = False) -> Float[Any, "*b"]:
    """Return M of Hasler & Suesstrunk (2003) in their units, for sRGB in [0, 1]: 0 is gray, 9 nearly gray, 50 vivid.

    Their opponent planes are signed; much published code takes ``absolute`` values, which gives less.
    """
    r, g, b = _channels(rgb * 255)
    planes = namespace(rgb).stack([r - g, (r + g) / 2 - b], 0)
    if absolute:
        planes = abs(planes)
    mean = planes.mean(-1).mean(-1)
    variance = ((planes - mean[..., None, None]) ** 2).mean(-1).mean(-1).sum(0)
    energy = (mean**2).sum(0)
    return variance.clip(1e-12, None) ** 0.5 + 0.3 * energy.clip(1e-12, None) ** 0.5


def ab_bins() -> tuple[tuple[float, float], ...]:
    """Return the 262 color bins (a, b), grid 10, to which sRGB colors round; Zhang et al. (2016) keep 313."""
    bins: list[tuple[float, float]] = []
    for a, low, high in _BIN_ROWS:
        bins += [(float(a), float(b)) for b in range(low, high + 1, BIN_STEP)]
    return tuple(bins)


_BIN_ROWS = (  # a, lowest b, highest b; a test samples the gamut to prove them
    (-90, 80, 80), (-80, 40, 80), (-70, 20, 90), (-60, 0, 90), (-50, -20, 90), (-40, -30, 90), (-30, -40, 90),
    (-20, -40, 90), (-10, -50, 90), (0, -60, 90), (10, -70, 80), (20, -80, 80), (30, -80, 80), (40, -90, 80),
    (50, -90, 70), (60, -100, 70), (70, -110, 70), (80, -110, 70), (90, -90, 0), (100, -70, -50),
)  # fmt: skip
