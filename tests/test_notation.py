"""One sign for one thing: the next state is s_next (or s_{t+1}), a transpose is ^T, and a prime is neither of them.

A prime says "another one" (another estimator's y', the carry's next c', a derivative U'). Docstrings, comments and the pages of
the documentation are read; code is not.
"""

import io
import pathlib
import re
import tokenize

import pytest

ROOT = pathlib.Path(__file__).parent.parent

WORDS = r"(?!'(?:s|t|d|ll|re)\b)"  # "the policy's", "don't"
SIGNS = {
    "s' (write s_next, or s^T)": re.compile(r"""(?<![\w'"`])s(?:_\w+)?'""" + WORDS.replace("'", "", 1)),
    "a prime for a transpose (write ^T)": re.compile(
        # a'R b, (1, s)' F, Z Z'; not names as D'Amour, nor prefixes of strings
        r"""(?<![\w'"`\\])(?![A-Z]'[A-Z][a-z]{2}|[rfb]')[A-Za-z]\w{0,3}"""
        + WORDS
        + r"""'(?=[A-Za-z])|[a-z0-9.]\)'(?!\w*')(?=[ \],)]|$)|\b([ZzLxFCG](?:_t)?) \1'""",
        re.MULTILINE,
    ),
}


def prose(path):
    """Yield (line, text): the docstrings and comments of a file of Python, or a whole page."""
    text = path.read_text()
    if path.suffix == ".md":
        yield 1, re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        docstring = token.type == tokenize.STRING and token.string.lstrip("rR").startswith('"""')
        if docstring or token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def wrong(text):
    """Return {what is wrong: where} for a text."""
    return {
        name: text[max(x.start() - 20, 0) : x.end() + 20] for name, sign in SIGNS.items() if (x := sign.search(text))
    }


def files():
    folders = (ROOT / name for name in ("mcgrad", "docs", "studies", "figures", "examples"))
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".md")]
    return [path for path in found if "_build" not in path.parts] + list(ROOT.glob("*.md"))


def test_primes_are_neither_next_states_nor_transposes():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}: {where!r}"
        for path in files()
        for line, text in prose(path)
        for name, where in wrong(text).items()
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "s' = A s + B a + w",
        "P(s' | s, a)",
        "sum_s' V(s')",
        "-(s'^2 + a^2)",
        "V_t(s) = -(s' P_t s + c_t)",
        "reward -(s'Qs)",
        "r = -a'Ra",
        "B'P Acl",
        "(1, s)' form (1, s)",
        "F = E[Z Z']",
        "s_t'P_t D_t",
        "L L' = cov",
    ],
)
def test_a_planted_prime_is_seen(text):
    assert wrong(text)


@pytest.mark.parametrize(
    "text",
    [
        "the policy's score, estimators' variances, don't, it's, Q's curvature, J's own",
        "D'Amour, L'Ecuyer and O'Donoghue",
        "V = a(x) + L(x) V', E[y y'], D' = A D + B d, the drift -U'(s)",
        "s_next = A s + B a, s^T Q s",
        "{'s' if several else ''}, p['s'], 'states', f'{x}'",
    ],
)
def test_other_primes_are_left_alone(text):
    assert not wrong(text)
