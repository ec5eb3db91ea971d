"""Hold colours and shapes as they were, however often a video is extended.

Small errors add up, in colour and in shape. What is still there is pulled back to what it was, place by place. What
changes by much at once is meant, and stays changed. All of it works on latents `[1,C,n,h,w]` and on pictures alike.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Latents: side of the blocks whose means are compared. Each latent stands for itself: over blocks of 4, colours stayed
# and shapes did not, and a subject that stood still had come apart after a minute.
SIDE = 1
PERIOD = 8  # pictures: how often their colours are looked at
# Of the reference spread: a change of this size counts e^-1 as drift. Drift is nearly whole below half of it and nearly
# none above 1.4 times, because a little of each change that is let go would be let go for good.
DRIFT = 0.8


def statistics(latent: Tensor) -> tuple[Tensor, Tensor]:
    """Take the mean and standard deviation of each channel over time and space, `[1,C,1,1,1]`."""
    return latent.mean((2, 3, 4), keepdim=True), latent.std((2, 3, 4), keepdim=True).clamp_min(1e-4)


def broad(latent: Tensor, side: int = SIDE) -> Tensor:
    """Average blocks of `side` x `side`: `[1,C,n,h,w]` -> `[1,C,n,h/side,w/side]`, rounded up."""
    # Of what is smaller than a block there is one.
    block = [min(side, length) for length in latent.shape[3:]]
    return F.avg_pool3d(latent, (1, *block), ceil_mode=True, count_include_pad=False)


def settled(latents: Tensor, side: int = SIDE) -> Tensor:
    """Find what a shot shows most of the time, place by place `[1,C,1,h/side,w/side]`.

    It is the median over time, which what passes by does not touch.
    """
    return broad(latents, side).median(2, keepdim=True).values


def compare(first: Tensor, last: Tensor, side: int = SIDE) -> tuple[Tensor, Tensor, Tensor]:
    """Find the mean, spread and places to hold a shot to, given its first and last latents.

    Both are `[1,C,n,h,w]`. What has changed little has drifted, as in a video that was made by extending it again and
    again, and should be as at first. What has changed by much should stay as it is.
    """
    (mean, std), (mean_now, std_now) = statistics(first), statistics(last)
    places, places_now = settled(first, side), settled(last, side)
    same = _drifted(mean_now - mean, std)
    places = torch.lerp(places_now, places, _drifted(places_now - places, std))
    return torch.lerp(mean_now, mean, same), torch.lerp(std_now, std, same), places


def _drifted(change: Tensor, std: Tensor) -> Tensor:
    """Judge how far a change `[1,C,...]` is drift rather than meant, from 1 for a small one to 0, see DRIFT."""
    size = (change / std).square().mean(1, keepdim=True)
    return torch.exp(-((size / DRIFT**2) ** 2))


def hold_places(latent: Tensor, places: Tensor, std: Tensor, bound: float, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Pull each place of `latent` `[1,C,n,h,w]` back towards `places`, by at most `bound` times `std`.

    Returns the latent, and the places for the next segment. Where the two differ by much, something else is seen there
    than was: that is left alone, and becomes the new place.
    """
    if bound == 0:
        return latent, places
    back, drifted = _back(places - broad(latent, side), std, bound, latent)
    held = latent + back
    return held, torch.lerp(broad(held[:, :, -1:], side), places, drifted[:, :, -1:])


def hold_end(first: Tensor, last: Tensor, made: Tensor, bound: float, side: int) -> Tensor:
    """Pull each place of `made` back as `hold_places` does; it goes on from a shot from `first` to `last`.

    All are pictures `[1,C,n,H,W]`. It is judged by what PERIOD of them show most of the time, so that what moves is not
    touched, and comes in over the first PERIOD, so that nothing steps at the join.
    """
    if bound == 0:
        return made
    _, std, places = compare(first, last, side)
    length = made.shape[2]
    shown = torch.cat([settled(part, side) for part in made.split(PERIOD, 2)], 2)
    # What is made drifts on, so that its end may have moved by as many bounds as there are periods.
    back = _back(places - shown, std, bound * shown.shape[2], made)[0]
    back = F.interpolate(back.flatten(3), (length, back[0, 0, 0].numel()), mode="bilinear").unflatten(3, made.shape[3:])
    rise = torch.arange(1, length + 1, device=made.device, dtype=made.dtype).div(PERIOD).clamp_max(1)
    return made + rise.view(1, 1, -1, 1, 1) * back


def _back(change: Tensor, std: Tensor, bound: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Find what is taken back of a change of places `[1,C,n,..]`, in the height and width of `like`.

    Returns with it how far each place's change is drift.
    """
    drifted = _drifted(change, std)
    back = drifted * torch.clamp(change, -bound * std, bound * std)
    return F.interpolate(back[0].movedim(0, 1), like.shape[3:], mode="bilinear").movedim(0, 1)[None], drifted


def hold_statistics(latent: Tensor, mean: Tensor, std: Tensor, bound: float) -> Tensor:
    """Move each channel's mean and spread in `latent` `[1,C,n,h,w]` towards `mean` and `std`.

    The mean moves by at most `bound` times `std`, the spread by at most the factor 1 +- `bound`; less, the more they
    differ. What changes within a segment, its motion, is scaled by that factor and otherwise left alone.
    """
    if bound == 0:
        return latent
    own_mean, own_std = statistics(latent)
    drifted = _drifted(mean - own_mean, std)
    gain = (std / own_std).clamp(1 - bound, 1 + bound)
    shift = torch.clamp(mean - own_mean, -bound * std, bound * std)
    return latent + drifted * ((latent - own_mean) * (gain - 1) + shift)
