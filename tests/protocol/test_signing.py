"""Domain-separated signatures and framed digests."""

from __future__ import annotations

from hashlib import blake2b, sha512

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import assume, given, settings, strategies as st

from protocol import signing
from protocol.signing import Domain
from protocol.types import Account, NetworkId, Signature
from tests.protocol import slow_edwards as slow

SEED = bytes(range(32))
ACCOUNT = signing.public_key(SEED)
NETWORK = NetworkId(b"\x01" * 32)
OTHER_NETWORK = NetworkId(b"\x02" * 32)
MESSAGE = b"pay the prover"
SIGNATURE = signing.sign(SEED, Domain.OPERATION, NETWORK, MESSAGE)

parts_of_digests = st.lists(st.binary(max_size=12), max_size=4)


def verify(
    account: bytes = ACCOUNT,
    domain: Domain = Domain.OPERATION,
    network: NetworkId = NETWORK,
    message: bytes = MESSAGE,
    signature: bytes = SIGNATURE,
) -> bool:
    return signing.verify(Account(account), domain, network, message, Signature(signature))


def library_accepts(account: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(account).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def accounts_of_low_order() -> list[bytes]:
    """All encodings that a lenient decoder reads as a point of low order."""
    ys = {y for _, y in slow.low_order_points()}
    lenient = ys | {y + slow.PRIME for y in ys if y + slow.PRIME < 2**255}
    return [(y | sign << 255).to_bytes(32, "little") for y in sorted(lenient) for sign in (0, 1)]


def test_public_key_of_rfc_8032():
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signing.public_key(seed).hex() == key


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=300))
def test_round_trip(seed: bytes, message: bytes):
    for domain in Domain:
        signature = signing.sign(seed, domain, NETWORK, message)
        assert verify(signing.public_key(seed), domain, message=message, signature=signature)


def test_what_is_signed_is_the_digest_of_domain_network_and_message():
    framed = b"".join(
        len(part).to_bytes(8, "little") + part
        for part in (b"provnet/operation/1", NETWORK, MESSAGE)
    )
    signed = blake2b(framed, digest_size=32).digest()
    Ed25519PublicKey.from_public_bytes(ACCOUNT).verify(SIGNATURE, signed)


def test_domains_are_the_ones_agreed():
    assert {domain.value for domain in Domain} == {
        b"provnet/operation/1",
        b"provnet/log-proposal/1",
        b"provnet/log-vote/1",
        b"provnet/transfer/1",
        b"provnet/announcement/1",
        b"provnet/bid/1",
        b"provnet/faucet/1",
    }


@pytest.mark.parametrize("signed_for", Domain)
@pytest.mark.parametrize("read_as", Domain)
def test_a_signature_holds_in_one_domain(signed_for: Domain, read_as: Domain):
    signature = signing.sign(SEED, signed_for, NETWORK, MESSAGE)
    assert verify(domain=read_as, signature=signature) == (signed_for is read_as)


def test_a_signature_holds_in_one_network():
    assert verify()
    assert not verify(network=OTHER_NETWORK)


def test_a_signature_holds_for_one_message_and_one_account():
    assert not verify(message=MESSAGE + b"\0")
    assert not verify(account=signing.public_key(bytes(32)))


@pytest.mark.parametrize("position", range(64))
def test_a_flipped_bit_of_the_signature_is_refused(position: int):
    for bit in range(8):
        flipped = bytearray(SIGNATURE)
        flipped[position] ^= 1 << bit
        assert not verify(signature=bytes(flipped))


@pytest.mark.parametrize("multiple", range(1, 16))
def test_a_response_is_refused_when_it_is_not_reduced(multiple: int):
    response = int.from_bytes(SIGNATURE[32:], "little") + multiple * slow.ORDER
    assert not verify(signature=SIGNATURE[:32] + response.to_bytes(32, "little"))


@pytest.mark.parametrize("torsion", range(1, 8))
def test_a_commitment_with_a_component_of_low_order_is_refused(torsion: int):
    """The equation is checked without the cofactor: all nodes then agree on every signature."""
    scalar, nonce = slow.secret_scalar(SEED), 99
    point = slow.multiply(nonce, slow.BASE)
    commitment = slow.encode(slow.add(point, slow.low_order_points()[torsion]))
    signed = signing.digest(Domain.OPERATION.value, NETWORK, MESSAGE)
    hashed = int.from_bytes(sha512(commitment + ACCOUNT + signed).digest(), "little")
    response = (nonce + hashed * scalar) % slow.ORDER
    assert not verify(signature=commitment + response.to_bytes(32, "little"))


def test_there_are_fourteen_encodings_of_low_order():
    assert len(accounts_of_low_order()) == 14


@pytest.mark.parametrize("account", accounts_of_low_order(), ids=bytes.hex)
def test_an_account_of_low_order_is_refused(account: bytes):
    signature = slow.encode(slow.IDENTITY) + bytes(32)
    fitting = 0
    for number in range(64):
        message = number.to_bytes(2, "little")
        signed = signing.digest(Domain.OPERATION.value, NETWORK, message)
        fitting += library_accepts(account, signature, signed)
        assert not verify(account, message=message, signature=signature)
    assert fitting > 0, "the library accepts what anybody can make"


@pytest.mark.parametrize("y", range(19))
def test_an_account_that_is_not_canonical_is_refused(y: int):
    assert not signing._is_account((y + slow.PRIME).to_bytes(32, "little"))
    assert not signing._is_account((y + slow.PRIME | 1 << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_an_account_of_wrong_length_is_refused(length: int):
    assert not verify(account=(ACCOUNT * 2)[:length])


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_a_signature_of_wrong_length_is_refused(length: int):
    assert not verify(signature=(SIGNATURE * 2)[:length])


@given(account=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_total_on_any_bytes(account: bytes, signature: bytes):
    assert not verify(account, signature=signature)
    assert not verify(signature=signature)


@given(account=st.binary(min_size=32, max_size=32), signature=st.binary(min_size=64, max_size=64))
def test_total_on_any_bytes_of_right_length(account: bytes, signature: bytes):
    assert not verify(account, signature=signature)
    assert not verify(signature=signature)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_wrong_length_is_refused(length: int):
    with pytest.raises(ValueError, match="32 bytes"):
        signing.public_key(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        signing.sign(bytes(length), Domain.OPERATION, NETWORK, MESSAGE)


def test_digest_is_what_its_docstring_says():
    framed = bytes([3, 0, 0, 0, 0, 0, 0, 0]) + b"tag" + bytes(8) + bytes([1] + [0] * 7) + b"a"
    assert signing.digest(b"tag", b"", b"a") == blake2b(framed, digest_size=32).digest()


@settings(max_examples=300)
@given(first=parts_of_digests, second=parts_of_digests)
def test_different_parts_have_different_digests(first: list[bytes], second: list[bytes]):
    assume(first != second)
    assert signing.digest(b"tag", *first) != signing.digest(b"tag", *second)


@given(parts=st.lists(st.binary(max_size=6), min_size=1, max_size=3), data=st.data())
def test_moving_a_border_between_parts_changes_the_digest(parts: list[bytes], data: st.DataObject):
    joined = b"".join(parts)
    cut = data.draw(st.integers(0, len(joined)))
    regrouped = [joined[:cut], joined[cut:]]
    assert (signing.digest(b"tag", *parts) == signing.digest(b"tag", *regrouped)) == (
        parts == regrouped
    )


@given(tag=st.binary(max_size=8), parts=parts_of_digests)
def test_a_part_cannot_pose_as_the_frame_of_others(tag: bytes, parts: list[bytes]):
    framed = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    assert signing.digest(tag, framed) != signing.digest(tag, *parts)
