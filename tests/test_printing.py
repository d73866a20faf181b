"""What a person sees of the things at a prompt: a few readable lines, never arrays and addresses of functions."""

import pytest
from support import w1

import mcgrad as mg


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (w1()[0], ["horizon 50", "linear-quadratic n=4 m=2", "A[4, 4]", "K[0,0]", "(8)"]),
        (mg.environments.cart_pole(), ["cart-pole", "4 states", "one of 2 actions", "gravity"]),
        (mg.policies.softmax(3, 2), ["softmax S=3 A=2", "1 state,", "one of 2 actions"]),
        (mg.policies.gaussian(1, std=0.5), ["1 action,"]),
    ],
)
def test_problems_and_their_parts_are_readable(thing, words):
    for text in (repr(thing), str(thing)):
        assert len(text) < 500 and len(text.splitlines()) < 6
        assert "array(" not in text and " at 0x" not in text
        assert all(word in text for word in words), text
