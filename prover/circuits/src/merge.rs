//! The merge circuit: verifies two neighbouring proofs, each a leaf's or a merge's.
//!
//! It cannot contain its own key, so it takes a key as public input, verifies merges under it, and
//! demands that both children carry the same one. The chain ends at whoever accepts a proof: unless
//! the key in its public inputs is compared with the real one, a circuit of equal shape that checks
//! nothing passes for a merge. [`crate::verify`] does that comparison.

use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::{BoolTarget, Target};
use plonky2::iop::witness::{PartialWitness, WitnessWrite};
use plonky2::plonk::circuit_data::{CircuitData, VerifierCircuitTarget};
use plonky2::plonk::proof::{ProofWithPublicInputs, ProofWithPublicInputsTarget};

use crate::error::{Error, Result};
use crate::field::{Builder, Digest, Preimage, C, D, F};
use crate::shape::{self, Shape};
use crate::statement::{self, Key, Statement, STATEMENT_LENGTH};

/// The wires of one child.
struct Child {
    proof: ProofWithPublicInputsTarget<D>,
    is_merge: BoolTarget,
}

/// The wires a prover sets.
pub struct Inputs {
    prover: [Target; 4],
    children: [Child; 2],
    key: VerifierCircuitTarget,
}

impl Inputs {
    /// Wires in a fixed order: the same ones whenever this comes first on a new builder, so that a
    /// stored circuit is usable without storing them.
    fn new(builder: &mut Builder, shape: &Shape) -> Self {
        Self {
            prover: builder.add_virtual_target_arr(),
            children: [(); 2].map(|()| Child {
                proof: builder.add_virtual_proof_with_pis(shape),
                is_merge: builder.add_virtual_bool_target_safe(),
            }),
            key: builder.add_virtual_verifier_data(shape::config().fri_config.cap_height),
        }
    }
}

/// The merge circuit, ready to prove.
pub struct Merge {
    /// The circuit itself.
    pub circuit: CircuitData<F, C, D>,
    inputs: Inputs,
}

/// A child's proof, and whether it is a merge's.
pub type ChildProof<'a> = (&'a ProofWithPublicInputs<F, C, D>, bool);

/// Lays out the circuit on an empty builder. Its unpadded size is the builder's count of gates.
pub fn define(builder: &mut Builder, shape: &Shape, leaf: &Key) -> Inputs {
    let inputs = Inputs::new(builder, shape);
    let leaf_key = builder.constant_verifier_data(leaf);
    for child in &inputs.children {
        // The circuit never recomputes a digest from a cap: both halves of the key are chosen
        // together.
        let key = builder.select_verifier_data(child.is_merge, &inputs.key, &leaf_key);
        builder.verify_proof::<C>(&child.proof, &key, shape);
        let carried = &child.proof.public_inputs[STATEMENT_LENGTH..];
        for (carried, own) in carried.iter().zip(statement::key_targets(&inputs.key)) {
            builder.connect(*carried, own);
        }
    }
    let [left, right] = [0, 1].map(|i| Statement::read(&inputs.children[i].proof.public_inputs));
    let hash = |elements| HashOutTarget { elements };
    builder.connect_hashes(hash(left.to), hash(right.from));
    builder.connect_hashes(hash(left.job), hash(right.job));
    builder.connect(left.hi, right.lo);
    let claim = Preimage::merge_claim(inputs.prover, left.claim, right.claim).hash_in(builder);
    let public = Statement {
        from: left.from,
        to: right.to,
        job: left.job,
        prover: inputs.prover,
        claim: claim.elements,
        lo: left.lo,
        hi: right.hi,
    };
    statement::register(builder, &public, &inputs.key);
    inputs
}

impl Merge {
    /// Builds the circuit in the given shape, over leaves with this key.
    ///
    /// # Errors
    /// [`Error::Proving`] when it does not fit.
    pub fn build(shape: &Shape, leaf: &Key) -> Result<Self> {
        let mut builder = Builder::new(shape::config());
        let inputs = define(&mut builder, shape, leaf);
        let circuit = shape::build(builder, shape)?;
        Ok(Self { circuit, inputs })
    }

    /// The stored circuit, usable again.
    pub fn from_circuit(circuit: CircuitData<F, C, D>) -> Self {
        let inputs = Inputs::new(&mut Builder::new(shape::config()), &circuit.common);
        Self { circuit, inputs }
    }

    /// Proves that two neighbouring proofs were verified; `key` is this circuit's own.
    ///
    /// # Errors
    /// [`Error::Proving`] when the children are not valid neighbours. It may also panic then: call
    /// it guarded.
    pub fn prove(
        &self,
        key: &Key,
        prover: Digest,
        children: [ChildProof; 2],
    ) -> Result<ProofWithPublicInputs<F, C, D>> {
        let mut witness = PartialWitness::new();
        self.set(&mut witness, key, prover, children)
            .and_then(|()| self.circuit.prove(witness))
            .map_err(|error| Error::Proving(format!("the merge cannot be proved: {error}")))
    }

    fn set(
        &self,
        witness: &mut PartialWitness<F>,
        key: &Key,
        prover: Digest,
        children: [ChildProof; 2],
    ) -> anyhow::Result<()> {
        witness.set_target_arr(&self.inputs.prover, &prover.elements)?;
        witness.set_verifier_data_target(&self.inputs.key, key)?;
        for (targets, (proof, is_merge)) in self.inputs.children.iter().zip(children) {
            witness.set_bool_target(targets.is_merge, is_merge)?;
            witness.set_proof_with_pis_target(&targets.proof, proof)?;
        }
        Ok(())
    }
}
