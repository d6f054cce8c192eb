//! The only acceptance of proofs.

use plonky2::field::types::PrimeField64;
use plonky2::plonk::proof::ProofWithPublicInputs;

use crate::error::{guarded, Error};
use crate::field::{C, D, F};
use crate::pinned;
use crate::statement::{key_elements, Statement, STATEMENT_LENGTH};

/// Exact length of every proof in bytes.
pub const PROOF_BYTES: usize = 133_544;

/// A proof as the proof system knows it.
pub type Proof = ProofWithPublicInputs<F, C, D>;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has not the length of every proof.
    Length,
    /// Its bytes are not the one encoding of their content.
    NotCanonical,
    /// It is about another job.
    Job,
    /// It was made under another prover's name.
    Prover,
    /// It leads from or to another state.
    Roots,
    /// It covers other leaves.
    Span,
    /// It binds other transfers, fees, provers or children.
    Claim,
    /// It carries the key of a circuit that is not ours.
    ForeignCircuit,
    /// It does not prove what it says.
    Invalid,
}

impl Refusal {
    /// The reason as one word.
    pub fn word(self) -> &'static str {
        match self {
            Refusal::Length => "length",
            Refusal::NotCanonical => "not_canonical",
            Refusal::Job => "job",
            Refusal::Prover => "prover",
            Refusal::Roots => "roots",
            Refusal::Span => "span",
            Refusal::Claim => "claim",
            Refusal::ForeignCircuit => "foreign_circuit",
            Refusal::Invalid => "invalid",
        }
    }
}

/// Accepts `bytes` as a proof of exactly `expected`, made by the leaf or by the merge circuit.
///
/// Total: any bytes give a verdict. Cheap checks come first; the last takes a few milliseconds.
///
/// # Errors
/// The first reason found against it.
pub fn verify(bytes: &[u8], is_merge: bool, expected: &Statement<F>) -> Result<(), Refusal> {
    let proof = parse(bytes)?;
    let stated = Statement::read(&proof.public_inputs);
    let comparisons = [
        (stated.job == expected.job, Refusal::Job),
        (stated.prover == expected.prover, Refusal::Prover),
        (
            (stated.from, stated.to) == (expected.from, expected.to),
            Refusal::Roots,
        ),
        (
            (stated.lo, stated.hi) == (expected.lo, expected.hi),
            Refusal::Span,
        ),
        (stated.claim == expected.claim, Refusal::Claim),
        (carries_our_key(&proof), Refusal::ForeignCircuit),
    ];
    for (equal, refusal) in comparisons {
        if !equal {
            return Err(refusal);
        }
    }
    let circuit = if is_merge {
        pinned::merge()
    } else {
        pinned::leaf()
    };
    let invalid = |error: anyhow::Error| Error::Proving(error.to_string());
    guarded(|| circuit.verify(proof).map_err(invalid)).map_err(|_| Refusal::Invalid)
}

/// Reads a proof without judging what it says.
///
/// The library's decoder takes trailing bytes and numbers above the modulus; only the encoding that
/// it would write itself is let through.
///
/// # Errors
/// [`Refusal::Length`] and [`Refusal::NotCanonical`].
pub fn parse(bytes: &[u8]) -> Result<Proof, Refusal> {
    if bytes.len() != PROOF_BYTES {
        return Err(Refusal::Length);
    }
    let shape = &pinned::merge().common;
    let malformed = |error: anyhow::Error| Error::Input(error.to_string());
    let proof = guarded(|| Proof::from_bytes(bytes.to_vec(), shape).map_err(malformed))
        .map_err(|_| Refusal::NotCanonical)?;
    let inputs_fit = proof.public_inputs.len() == shape.num_public_inputs;
    if inputs_fit && proof.to_bytes() == bytes {
        Ok(proof)
    } else {
        Err(Refusal::NotCanonical)
    }
}

/// Whether the key among the public inputs is the merge circuit's own.
///
/// Without this a circuit of equal shape that checks nothing passes for a child, see
/// [`crate::merge`].
fn carries_our_key(proof: &Proof) -> bool {
    let carried = proof.public_inputs[STATEMENT_LENGTH..].iter();
    let ours = key_elements(&pinned::merge().verifier_only);
    carried
        .map(PrimeField64::to_canonical_u64)
        .eq(ours.iter().map(PrimeField64::to_canonical_u64))
}
