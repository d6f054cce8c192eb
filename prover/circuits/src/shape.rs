//! The one shape that both circuits share, so that a merge can verify either by choosing a key.

use plonky2::gates::constant::ConstantGate;
use plonky2::gates::gate::GateRef;
use plonky2::gates::noop::NoopGate;
use plonky2::plonk::circuit_data::{CircuitConfig, CircuitData, CommonCircuitData};

use crate::error::{Error, Result};
use crate::field::{Builder, C, D, F};
use crate::statement::{KEY_LENGTH, STATEMENT_LENGTH};

/// Logarithm of the number of rows of both circuits.
///
/// Verifying two proofs takes 7,951 of the 8,192 rows; one level more would double every proving
/// time.
pub const DEGREE_BITS: usize = 13;

/// Common data of a circuit: everything but its constants and wiring.
pub type Shape = CommonCircuitData<F, D>;

/// 28 queries at rate 1/8 and 16 bits of grinding: about 100 bits, conjectured.
pub fn config() -> CircuitConfig {
    CircuitConfig::standard_recursion_config()
}

/// The shape of a circuit that verifies two proofs of this very shape.
///
/// Found by iteration from the empty circuit, as in plonky2's `test_cyclic_recursion`. Takes
/// seconds.
pub fn fixed_point() -> Shape {
    let mut shape = Builder::new(config()).build::<C>().common;
    for children in [1, 2, 2] {
        let mut builder = Builder::new(config());
        let key = builder.add_virtual_verifier_data(config().fri_config.cap_height);
        for _ in 0..children {
            let proof = builder.add_virtual_proof_with_pis(&shape);
            builder.verify_proof::<C>(&proof, &key, &shape);
        }
        // Constants occur in every real circuit, so this gate must be part of the shape.
        let constants = ConstantGate::new(config().num_constants);
        builder.add_gate_to_gate_set(GateRef::new(constants));
        pad(&mut builder);
        shape = builder.build::<C>().common;
    }
    shape.num_public_inputs = STATEMENT_LENGTH + KEY_LENGTH;
    shape
}

fn pad(builder: &mut Builder) {
    while builder.num_gates() <= 1 << (DEGREE_BITS - 1) {
        builder.add_gate(NoopGate, vec![]);
    }
}

/// Builds a circuit in the given shape.
///
/// # Errors
/// [`Error::Proving`] when it does not fit.
pub fn build(mut builder: Builder, shape: &Shape) -> Result<CircuitData<F, C, D>> {
    pad(&mut builder);
    for gate in &shape.gates {
        builder.add_gate_to_gate_set(gate.clone());
    }
    let circuit = builder.build::<C>();
    if circuit.common == *shape {
        Ok(circuit)
    } else {
        let (built, wanted) = (circuit.common.degree_bits(), shape.degree_bits());
        Err(Error::Proving(format!(
            "a circuit of degree 2^{built} does not fit the shape of degree 2^{wanted}"
        )))
    }
}
