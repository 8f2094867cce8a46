"""The two multipliers that stand in the model itself: of attention, and of an output that shares its weights."""

import math

from jaxhpt.core.checks import require_count


def attention_scale(size: int, base: int) -> float:
    """Scale attention logits by 1 / size in place of 1 / sqrt(size), equal to it at the base.

    Give it where the size of heads grows with the width; where their number grows it changes nothing. Queries and keys
    come to agree in training, so that their product grows with the size, not with its root.

    Args:
      size: of a head, in this model.
      base: of a head, in the base model.

    Returns:
      sqrt(base) / size: as `scale` of `jax.nn.dot_product_attention`.

    Raises:
      TypeError, ValueError: a size that is no whole number above 0.

    Example:
      >>> from jaxhpt.models import mup
      >>> mup.attention_scale(16, base=16), mup.attention_scale(64, base=16)
      (0.25, 0.0625)

    References:
      Yang et al., "Tensor Programs V", https://arxiv.org/abs/2203.03466 (2022), definition 4.1.
    """
    return math.sqrt(require_count("base", base)) / require_count("size", size)


def output_multiplier(width: int, base: int) -> float:
    """Multiply logits by 1 / width, equal to 1 at the base, where the output shares its weights with the input.

    An output layer with weights of its own needs no multiplier: its weights begin smaller and learn slower, which
    comes to the same. An embedding that is also the output, as in `embed.attend(x)`, cannot: multiply its logits.

    Args:
      width: that is summed over, in this model.
      base: the same in the base model.

    Raises:
      TypeError, ValueError: a width that is no whole number above 0.

    Example:
      >>> from jaxhpt.models import mup
      >>> mup.output_multiplier(256, base=64)
      0.25

    References:
      Yang et al., "Tensor Programs V", https://arxiv.org/abs/2203.03466 (2022), table 8: there input and output may be
      tied.
    """
    return require_count("base", base) / require_count("width", width)
