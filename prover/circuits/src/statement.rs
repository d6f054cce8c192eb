//! What a proof says: the public inputs of both circuits.
//!
//! | index | meaning |
//! | --- | --- |
//! | 0-3 | root of the account tree before |
//! | 4-7 | root after |
//! | 8-11 | digest of the job's id |
//! | 12-15 | digest of the prover's key |
//! | 16-19 | claim |
//! | 20, 21 | first leaf, and one past the last |
//! | 22-89 | key of the merge circuit: its digest, then its 16 cap hashes |

use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::Target;
use plonky2::plonk::circuit_data::{VerifierCircuitTarget, VerifierOnlyCircuitData};

use crate::field::{Builder, C, D, F};

/// Count of public inputs before the merge circuit's key.
pub const STATEMENT_LENGTH: usize = 22;

/// Count of public inputs that hold the merge circuit's key.
pub const KEY_LENGTH: usize = 68;

/// What identifies a circuit to a verifier.
pub type Key = VerifierOnlyCircuitData<C, D>;

/// The public inputs before the key, over field elements or wires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<T> {
    /// Root of the account tree before.
    pub from: [T; 4],
    /// Root of the account tree after.
    pub to: [T; 4],
    /// Digest of the job's id.
    pub job: [T; 4],
    /// Digest of the key of the prover that made this very proof.
    pub prover: [T; 4],
    /// Who proved what, all the way down.
    pub claim: [T; 4],
    /// First leaf.
    pub lo: T,
    /// One past the last leaf.
    pub hi: T,
}

impl<T: Copy> Statement<T> {
    /// The statement in the given public inputs. Panics when there are fewer than
    /// [`STATEMENT_LENGTH`].
    pub fn read(inputs: &[T]) -> Self {
        let four = |start: usize| std::array::from_fn(|i| inputs[start + i]);
        Self {
            from: four(0),
            to: four(4),
            job: four(8),
            prover: four(12),
            claim: four(16),
            lo: inputs[20],
            hi: inputs[21],
        }
    }

    /// The public inputs in order.
    pub fn elements(&self) -> Vec<T> {
        let digests = [self.from, self.to, self.job, self.prover, self.claim];
        [digests.as_flattened(), &[self.lo, self.hi]].concat()
    }
}

/// Registers all public inputs of a circuit; nothing may be registered after them.
pub fn register(builder: &mut Builder, statement: &Statement<Target>, key: &VerifierCircuitTarget) {
    builder.register_public_inputs(&statement.elements());
    builder.register_public_inputs(&key_targets(key));
}

/// A key's wires in the order of the public inputs.
pub fn key_targets(key: &VerifierCircuitTarget) -> Vec<Target> {
    let cap = key.constants_sigmas_cap.0.iter();
    let hashes = std::iter::once(&key.circuit_digest).chain(cap);
    hashes
        .flat_map(|hash: &HashOutTarget| hash.elements)
        .collect()
}

/// A key's values in the order of the public inputs.
pub fn key_elements(key: &Key) -> Vec<F> {
    let cap = key.constants_sigmas_cap.0.iter();
    let hashes = std::iter::once(&key.circuit_digest).chain(cap);
    hashes.flat_map(|hash| hash.elements).collect()
}
