"""An independent, slow reading of RFC 8032 and RFC 9381: oracle of the VRF and of signatures.

Affine textbook formulas on integers; shares no code with what it judges. Like the RFC, and unlike
``protocol.vrf``, it takes keys and Gammas that have a component of low order.
"""

from __future__ import annotations

from hashlib import sha512

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE_D = -121665 * pow(121666, -1, PRIME) % PRIME
ROOT_OF_MINUS_ONE = pow(2, (PRIME - 1) // 4, PRIME)

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(first: Point, second: Point) -> Point:
    (x1, y1), (x2, y2) = first, second
    cross = CURVE_D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, PRIME)
    y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, PRIME)
    return x % PRIME, y % PRIME


def negate(point: Point) -> Point:
    return -point[0] % PRIME, point[1]


def multiply(scalar: int, point: Point) -> Point:
    result = IDENTITY
    for bit in f"{scalar:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(encoded: bytes) -> Point | None:
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= PRIME:
        return None
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * ROOT_OF_MINUS_ONE % PRIME
    if x * x % PRIME != square or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else PRIME - x), y


def known_point(encoded: bytes) -> Point:
    point = decode(encoded)
    assert point is not None
    return point


BASE = known_point(bytes.fromhex("58" + "66" * 31))


def secret_scalar(seed: bytes) -> int:
    clamped = bytearray(sha512(seed).digest()[:32])
    clamped[0] &= 248
    clamped[31] = clamped[31] & 127 | 64
    return int.from_bytes(clamped, "little")


def public_key(seed: bytes) -> bytes:
    return encode(multiply(secret_scalar(seed), BASE))


def hash_to_curve(key: bytes, alpha: bytes) -> Point:
    for counter in range(256):
        candidate = decode(sha512(b"\3\1" + key + alpha + bytes([counter]) + b"\0").digest()[:32])
        if candidate is not None and multiply(8, candidate) != IDENTITY:
            return multiply(8, candidate)
    raise AssertionError("unreachable")


def challenge(*points: Point | bytes) -> int:
    encoded = b"".join(p if isinstance(p, bytes) else encode(p) for p in points)
    return int.from_bytes(sha512(b"\3\2" + encoded + b"\0").digest()[:16], "little")


def output(gamma: Point) -> bytes:
    return sha512(b"\3\3" + encode(multiply(8, gamma)) + b"\0").digest()


def prove(
    seed: bytes, alpha: bytes, *, nonce: int | None = None, torsion: Point = IDENTITY
) -> tuple[bytes, bytes]:
    """The RFC's proof and output; a cheating prover chooses the nonce and adds to Gamma."""
    scalar, key = secret_scalar(seed), public_key(seed)
    hashed = hash_to_curve(key, alpha)
    gamma = add(multiply(scalar, hashed), torsion)
    if nonce is None:
        prefix = sha512(seed).digest()[32:]
        nonce = int.from_bytes(sha512(prefix + encode(hashed)).digest(), "little") % ORDER
    c = challenge(key, hashed, gamma, multiply(nonce, BASE), multiply(nonce, hashed))
    s = (nonce + c * scalar) % ORDER
    return encode(gamma) + c.to_bytes(16, "little") + s.to_bytes(32, "little"), output(gamma)


def verify(key: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    point, gamma = decode(key), decode(proof[:32])
    c, s = int.from_bytes(proof[32:48], "little"), int.from_bytes(proof[48:], "little")
    if point is None or multiply(8, point) == IDENTITY or gamma is None or s >= ORDER:
        return None
    hashed = hash_to_curve(key, alpha)
    u = add(multiply(s, BASE), negate(multiply(c, point)))
    v = add(multiply(s, hashed), negate(multiply(c, gamma)))
    return output(gamma) if challenge(key, hashed, gamma, u, v) == c else None


def low_order_points() -> list[Point]:
    """The eight points whose order divides 8: multiples of one of order 8."""
    y = 2
    while True:
        point = decode(y.to_bytes(32, "little"))
        if point is not None:
            torsion = multiply(ORDER, point)
            if multiply(4, torsion) != IDENTITY:
                return [multiply(i, torsion) for i in range(8)]
        y += 1
