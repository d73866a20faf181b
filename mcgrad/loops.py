"""The function of a kernel's loops over trajectories and time, as text."""

from .draws import flip_text


def kernel_text(what, lines):
    """Return the function of loops around the lines that belong to one block of trajectories."""
    body = "\n".join(" " * 8 + line for line in lines)
    return f'''
def kernel(theta, p, c, rows, seed, first, blocks, width, horizon, points, work, out, stop):
    """Write {what} of blocks * width trajectories from number `first` on to the columns of `out`."""
    for b in range(blocks):
        if stop[0] != 0:
            break
        i = position(first, b, width)
{body}
'''


def scan_lines(problem, draws, variation, k, suffix, branches, texts, functions):
    """Return the lines that simulate one variation and scan it backwards; what they call is added to the texts.

    Where episodes may end, the loops end with the last episode of a block. Steps after the end change nothing, so that a
    trajectory is the same whatever its neighbours do.
    """
    start, step = draws.start(variation.stream), draws.step(variation.stream)
    policy, environment = problem.policy, problem.environment
    flips = []
    if variation.initial < 0:
        start = f"flip_start{suffix}({start})"
        flips.append((f"flip_start{suffix}", [(-1, kind) for kind in draws.of_start]))
    if variation.action < 0 or variation.process < 0:
        step = f"flip_step{suffix}({step})"
        actions = policy.noises + policy.uniforms
        signs = [variation.action if j < actions else variation.process for j in range(len(draws.of_step))]
        flips.append((f"flip_step{suffix}", list(zip(signs, draws.of_step, strict=True))))
    texts += [flip_text(*x) for x in flips]
    functions += [(name, 1, len(signs)) for name, signs in flips]
    theta = "theta"
    lines = []
    differences = [f"carry{suffix}", *(f"{x.name}_difference" for x in branches)]
    if variation.shift:
        theta = f"theta{suffix or '_v0'}"
        lines.append(f"{theta} = perturb_{k}(theta, c, z_theta)")
    forward = [
        f"z = {step}",
        f"x = forward{suffix}({theta}, p, s, z)",
        f"store{suffix}(work[t], s, z, x)",
        f"s = next_state{suffix}(x)",
    ]
    backward = [
        f"kept = load{suffix}(work[t])",
        *(line for x in branches for line in x.lines()),
        f"carry{suffix} = backward{suffix}({', '.join([theta, 'p', 'c', 'rows[t]', 'kept', *differences])})",
    ]
    steps = "horizon"
    lines.append(f"s = start(p, {start})")
    if environment.done is None:
        lines.append("for t in range(horizon):")
    else:
        lines += ["t = 0", "while t < horizon and any_positive(running(p, s)):"]
        forward.append("t += 1")
        steps = "steps"
    lines += [f"    {line}" for line in forward]
    if environment.done is not None:
        lines.append("steps = t")
    lines += [f"carry{suffix} = last{suffix}(p, c, rows[horizon], s)", f"for t in range({steps} - 1, -1, -1):"]
    return lines + [f"    {line}" for line in backward]
