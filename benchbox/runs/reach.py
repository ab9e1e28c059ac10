"""How far an attack can come from where it starts."""


def reach_255(steps: int, step_size_255: float) -> float | None:
    """Return by how much a pixel can change, in units of 1/255; None where nothing limits it.

    Args:
        steps: of the attack; 0 where it has no fixed number of them.
        step_size_255: of one, in units of 1/255; 0 where the attack chooses its own.
    """
    reach = steps * step_size_255
    return reach if reach > 0 else None


def is_beyond_reach(eps_255: float, steps: int, step_size_255: float) -> bool:
    """Return whether a budget is larger than what all steps together come to.

    From the clean image, an attack is the same at all such budgets.
    """
    reach = reach_255(steps, step_size_255)
    # Rounding: 16 steps of 0.1/255 reach 1.6/255.
    return reach is not None and reach < eps_255 * (1 - 1e-6)
