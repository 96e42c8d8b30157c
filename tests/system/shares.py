"""The shares of a master key as docs/backup-and-keys.md describes them, made and opened without the program.

shares.py split VAULT_ID SHARES THRESHOLD <KEY >LINES
shares.py combine <LINES >KEY

The arithmetic is done another way than in the program: with logarithms, and with whole polynomials.
"""

import hashlib
import itertools
import re
import secrets
import sys

EXP, LOG = [], {}
element = 1
for power in range(255):
    EXP.append(element)
    LOG[element] = power
    # Times 3, which generates the field.
    element ^= element << 1
    if element & 0x100:
        element ^= 0x11B


def times(a, b):
    return EXP[(LOG[a] + LOG[b]) % 255] if a and b else 0


def over(a, b):
    return EXP[(LOG[a] - LOG[b]) % 255] if a else 0


def value(polynomial, x):
    """Of a polynomial, whose coefficients begin with the lowest."""
    result = 0
    for power, coefficient in enumerate(polynomial):
        for _ in range(power):
            coefficient = times(coefficient, x)
        result ^= coefficient
    return result


def through(points):
    """The polynomial of the lowest degree through these points."""
    result = [0] * len(points)
    for x, y in points:
        basis, divisor = [1], 1
        for other, _ in points:
            if other != x:
                # Times (X + other).
                shifted, scaled = [0] + basis, [times(c, other) for c in basis] + [0]
                basis = [a ^ b for a, b in zip(shifted, scaled)]
                divisor = times(divisor, x ^ other)
        result = [sum_ ^ times(c, over(y, divisor)) for sum_, c in zip(result, basis)]
    return result


def check_sum(text):
    squeezed = re.sub(r"[\s-]", "", text).lower()
    return hashlib.sha256(squeezed.encode()).hexdigest()[:8]


def digest(key):
    return hashlib.sha256(key).digest()[:4]


def split(key, vault_id, shares, threshold):
    secret = key + digest(key)
    polynomials = [[byte, *secrets.token_bytes(threshold - 1)] for byte in secret]
    export = secrets.token_hex(4)
    for x in range(1, shares + 1):
        part = bytes([*(value(polynomial, x) for polynomial in polynomials), x]).hex()
        part = "-".join(part[at : at + 4] for at in range(0, len(part), 4))
        head = f"jarvis-secretsd share v1 vault={vault_id} export={export} share={x}/{shares} threshold={threshold} part={part}"
        print(f"{head} check={check_sum(head)}")


def combine(lines):
    points, commons = [], set()
    for line in lines:
        head, check = line.strip().split("check=")
        assert check_sum(head) == check, line
        vault, export, number, shares, threshold, part = re.fullmatch(
            r"jarvis-secretsd share v1 vault=(\S+) export=(\S+) share=(\d+)/(\d+) threshold=(\d+) part=(\S+) ", head
        ).groups()
        *values, x = bytes.fromhex(part.replace("-", ""))
        assert x == int(number) and 1 <= x <= int(shares), line
        points.append((x, values))
        commons.add((vault, export, shares, int(threshold)))
    ((_, _, _, threshold),) = commons
    assert len(points) >= threshold
    opened = set()
    for chosen in itertools.combinations(points, threshold):
        columns = zip(*([(x, y) for y in values] for x, values in chosen))
        opened.add(bytes(through(column)[0] for column in columns))
    (secret,) = opened
    key, told = secret[:32], secret[32:]
    assert digest(key) == told
    return key


match sys.argv[1:]:
    case ["split", vault_id, shares, threshold]:
        split(sys.stdin.buffer.read(), vault_id, int(shares), int(threshold))
    case ["combine"]:
        sys.stdout.buffer.write(combine(sys.stdin))
    case _:
        sys.exit(__doc__)
