//! Field elements, their bytes, and every hash of the rollup.
//!
//! Each hash starts with a tag that no other hash has and takes a fixed number of elements. The
//! sponge is not padded and not length-binding by itself, so tag and length together keep preimages
//! of different kinds apart. A node of the account tree is the untagged two-to-one compression; it
//! cannot be taken for a tagged hash because the tree has a fixed depth and accounts only at its
//! bottom.
//!
//! Each preimage is stated once, for native values and for circuit wires alike.

use plonky2::field::goldilocks_field::GoldilocksField;
use plonky2::field::types::{Field, Field64, PrimeField64};
use plonky2::hash::hash_types::{HashOut, HashOutTarget};
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::iop::target::Target;
use plonky2::plonk::circuit_builder::CircuitBuilder;
use plonky2::plonk::config::{Hasher, PoseidonGoldilocksConfig};

/// Goldilocks: integers modulo 2^64 - 2^32 + 1.
pub type F = GoldilocksField;
/// Poseidon as hash and as transcript.
pub type C = PoseidonGoldilocksConfig;
/// Degree of the field extension that challenges are drawn from.
pub const D: usize = 2;
/// Four field elements: the output of every hash.
pub type Digest = HashOut<F>;
/// Builder of circuits over this field.
pub type Builder = CircuitBuilder<F, D>;

/// The input of a tagged hash, over field elements or over wires of a circuit.
pub struct Preimage<T> {
    tag: u64,
    elements: Vec<T>,
}

impl<T: Copy> Preimage<T> {
    fn new(tag: u64, parts: &[&[T]]) -> Self {
        let elements = parts.concat();
        Self { tag, elements }
    }

    /// Claim of a leaf: who proved which transfers at which position, and the fees they paid.
    pub fn leaf_claim(prover: [T; 4], position: T, digest: [T; 4], fees: T) -> Self {
        Self::new(0, &[&prover, &[position], &digest, &[fees]])
    }

    /// Claim of a merge: who merged which two claims.
    pub fn merge_claim(prover: [T; 4], left: [T; 4], right: [T; 4]) -> Self {
        Self::new(1, &[&prover, &left, &right])
    }

    /// Bottom node of the account tree; `key` is [`key_digest`] of the account's key.
    pub fn account(key: [T; 4], balance: T, nonce: T) -> Self {
        Self::new(7, &[&key, &[balance, nonce]])
    }

    /// One link of the chain of transfers that a leaf claim binds; the chain starts from zeros.
    pub fn transfer(
        previous: [T; 4],
        from: [T; 4],
        to: [T; 4],
        amount: T,
        fee: T,
        nonce: T,
    ) -> Self {
        Self::new(8, &[&previous, &from, &to, &[amount, fee, nonce]])
    }

    fn key(limbs: [T; 8]) -> Self {
        Self::new(9, &[&limbs])
    }

    fn job(limbs: [T; 8]) -> Self {
        Self::new(10, &[&limbs])
    }
}

impl Preimage<F> {
    /// The hash itself.
    pub fn hash(&self) -> Digest {
        let mut input = vec![F::from_canonical_u64(self.tag)];
        input.extend_from_slice(&self.elements);
        PoseidonHash::hash_no_pad(&input)
    }
}

impl Preimage<Target> {
    /// The hash as wires of a circuit.
    pub fn hash_in(&self, builder: &mut Builder) -> HashOutTarget {
        let mut input = vec![builder.constant(F::from_canonical_u64(self.tag))];
        input.extend_from_slice(&self.elements);
        builder.hash_n_to_hash_no_pad::<PoseidonHash>(input)
    }
}

/// Digest by which circuits know the owner of an account or a prover, from its 32-byte key.
pub fn key_digest(key: &[u8; 32]) -> Digest {
    Preimage::key(limbs(key)).hash()
}

/// Digest by which circuits know a job, from its 32-byte id.
pub fn job_digest(job: &[u8; 32]) -> Digest {
    Preimage::job(limbs(job)).hash()
}

/// Parent of two nodes of the account tree.
pub fn parent(left: Digest, right: Digest) -> Digest {
    PoseidonHash::two_to_one(left, right)
}

/// Eight 32-bit little-endian limbs: 32 arbitrary bytes, injectively.
fn limbs(bytes: &[u8; 32]) -> [F; 8] {
    std::array::from_fn(|i| {
        let limb = [0, 1, 2, 3].map(|j| bytes[4 * i + j]);
        F::from_canonical_u32(u32::from_le_bytes(limb))
    })
}

/// Four canonical little-endian 64-bit integers.
pub fn to_bytes(digest: Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, element) in bytes.chunks_exact_mut(8).zip(digest.elements) {
        place.copy_from_slice(&element.to_canonical_u64().to_le_bytes());
    }
    bytes
}

/// Inverse of [`to_bytes`]; None for any other bytes.
pub fn from_bytes(bytes: &[u8; 32]) -> Option<Digest> {
    let elements = elements_from_bytes(bytes)?;
    Some(HashOut::from_partial(&elements))
}

/// Canonical little-endian 64-bit integers as field elements; None when one is not below the
/// modulus or bytes are left over.
pub fn elements_from_bytes(bytes: &[u8]) -> Option<Vec<F>> {
    let words = bytes.chunks_exact(8);
    if !words.remainder().is_empty() {
        return None;
    }
    words
        .map(|word| u64::from_le_bytes(word.try_into().expect("chunks of eight")))
        .map(|word| (word < F::ORDER).then(|| F::from_canonical_u64(word)))
        .collect()
}
