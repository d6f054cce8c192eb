//! The verifier data of both circuits, compiled in: about 2 KB each, no build or cache needed to
//! verify.
//!
//! Written by the program `pin`; a test builds the circuits afresh and compares.

use std::sync::LazyLock;

use plonky2::plonk::circuit_data::{CircuitData, VerifierCircuitData};
use plonky2::util::serialization::DefaultGateSerializer;

use crate::field::{C, D, F};

/// Name of the file with the leaf circuit's verifier data.
pub const LEAF_FILE: &str = "leaf.verifier";
/// Name of the file with the merge circuit's verifier data.
pub const MERGE_FILE: &str = "merge.verifier";

static LEAF: LazyLock<VerifierCircuitData<F, C, D>> =
    LazyLock::new(|| parse(include_bytes!("../pinned/leaf.verifier")));
static MERGE: LazyLock<VerifierCircuitData<F, C, D>> =
    LazyLock::new(|| parse(include_bytes!("../pinned/merge.verifier")));

fn parse(bytes: &[u8]) -> VerifierCircuitData<F, C, D> {
    VerifierCircuitData::from_bytes(bytes.to_vec(), &DefaultGateSerializer)
        .expect("the compiled-in verifier data was written by `pin`")
}

/// The leaf circuit as verifiers know it.
pub fn leaf() -> &'static VerifierCircuitData<F, C, D> {
    &LEAF
}

/// The merge circuit as verifiers know it.
pub fn merge() -> &'static VerifierCircuitData<F, C, D> {
    &MERGE
}

/// What `pin` writes for a circuit.
pub fn to_bytes(circuit: &CircuitData<F, C, D>) -> Vec<u8> {
    circuit
        .verifier_data()
        .to_bytes(&DefaultGateSerializer)
        .expect("both circuits use the library's own gates only")
}
