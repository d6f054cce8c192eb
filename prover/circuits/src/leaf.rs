//! The leaf circuit: a batch of transfers, executed on the account tree.
//!
//! Each of its [`LEAF_TRANSFERS`] slots reads the sender under the running root and writes it back
//! charged, then reads the recipient under the new root and writes it back credited. All slots obey
//! the same constraints. A slot without a transfer is a move of nothing from an account to itself:
//! amount and fee are forced to zero, the nonce stands still, no account comes into being, so the
//! root does not change.
//!
//! Why nothing wraps, modulus p > 2^64 - 2^32:
//! * The sender's new balance b', the amount a and the fee f are range-checked to 62, 62 and 50
//!   bits. The old balance equals b' + a + f as a field element, and that sum is at most
//!   2^63 + 2^50 < p, so it equals it as an integer, whatever the tree holds: nobody spends more
//!   than they have.
//! * The recipient's new balance is range-checked to 62 bits. Old balances were, when they were
//!   written or by the genesis, and 2^62 + 2^62 < p.
//! * Nonces are range-checked to 62 bits before they grow by one.
//! * Fees of a leaf add up to less than 80 x 2^50 < 2^57.
//!
//! Places are 20 bits, split by a gate that forces each to be a bit. The circuit does not prove
//! that a new account's key is absent from the rest of the tree: the order in which places are
//! given out is a rule of the native state, and whoever knows the transfers recomputes the root.

use plonky2::field::types::Field;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::hash::merkle_proofs::MerkleProofTarget;
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::iop::target::{BoolTarget, Target};
use plonky2::iop::witness::{PartialWitness, WitnessWrite};
use plonky2::plonk::circuit_data::{CircuitData, VerifierCircuitTarget};
use plonky2::plonk::proof::ProofWithPublicInputs;

use crate::error::{Error, Result};
use crate::field::{Builder, Digest, Preimage, C, D, F};
use crate::shape::{self, Shape};
use crate::statement::{self, Key, Statement};
use crate::transfer::{AMOUNT_BITS, FEE_BITS};
use crate::tree::TREE_DEPTH;
use crate::witness::{Entry, Slot, LEAF_TRANSFERS};

/// The wires a prover sets.
pub struct Inputs {
    job: [Target; 4],
    prover: [Target; 4],
    position: Target,
    slots: Vec<Slot<Target>>,
    key: VerifierCircuitTarget,
}

impl Inputs {
    /// Wires in a fixed order: the same ones whenever this comes first on a new builder, so that a
    /// stored circuit is usable without storing them.
    fn new(builder: &mut Builder) -> Self {
        Self {
            job: builder.add_virtual_target_arr(),
            prover: builder.add_virtual_target_arr(),
            position: builder.add_virtual_target(),
            slots: (0..LEAF_TRANSFERS)
                .map(|_| Slot::read(&mut || builder.add_virtual_target()))
                .collect(),
            key: builder.add_virtual_verifier_data(shape::config().fri_config.cap_height),
        }
    }
}

/// The leaf circuit, ready to prove.
pub struct Leaf {
    /// The circuit itself.
    pub circuit: CircuitData<F, C, D>,
    inputs: Inputs,
}

/// Lays out the circuit on an empty builder. Its unpadded size is the builder's count of gates.
pub fn define(builder: &mut Builder) -> Inputs {
    let inputs = Inputs::new(builder);
    let mut digest = [builder.zero(); 4];
    let mut fees = builder.zero();
    let mut roots: Option<(HashOutTarget, HashOutTarget)> = None;
    for slot in &inputs.slots {
        let (before, after) = apply(builder, slot);
        let from = match roots {
            None => before,
            Some((from, running)) => {
                builder.connect_hashes(before, running);
                from
            }
        };
        roots = Some((from, after));
        digest = link(builder, digest, slot);
        fees = builder.add(fees, slot.fee);
    }
    let (from, to) = roots.expect("a leaf has at least one slot");
    let claim = Preimage::leaf_claim(inputs.prover, inputs.position, digest, fees).hash_in(builder);
    let public = Statement {
        from: from.elements,
        to: to.elements,
        job: inputs.job,
        prover: inputs.prover,
        claim: claim.elements,
        lo: inputs.position,
        hi: builder.add_const(inputs.position, F::ONE),
    };
    statement::register(builder, &public, &inputs.key);
    inputs
}

/// Constrains one slot; returns the roots before and after it.
fn apply(builder: &mut Builder, slot: &Slot<Target>) -> (HashOutTarget, HashOutTarget) {
    let (sender, recipient) = (&slot.sender, &slot.recipient);
    for flag in [slot.active, slot.creates] {
        builder.assert_bool(BoolTarget::new_unsafe(flag));
    }
    for only_when_active in [slot.amount, slot.fee, slot.creates] {
        let product = builder.mul(slot.active, only_when_active);
        builder.connect(product, only_when_active);
    }
    builder.range_check(slot.amount, AMOUNT_BITS);
    builder.range_check(slot.fee, FEE_BITS);
    builder.range_check(sender.nonce, AMOUNT_BITS);

    let rest = builder.sub(sender.balance, slot.amount);
    let charged_balance = builder.sub(rest, slot.fee);
    builder.range_check(charged_balance, AMOUNT_BITS);
    let charged_nonce = builder.add(sender.nonce, slot.active);
    let place = builder.split_le(sender.index, TREE_DEPTH);
    let old = Preimage::account(sender.key, sender.balance, sender.nonce).hash_in(builder);
    let new = Preimage::account(sender.key, charged_balance, charged_nonce).hash_in(builder);
    let before = root(builder, old, &place, sender);
    let charged = root(builder, new, &place, sender);

    for zero_when_created in [recipient.balance, recipient.nonce] {
        let product = builder.mul(slot.creates, zero_when_created);
        builder.assert_zero(product);
    }
    let credited_balance = builder.add(recipient.balance, slot.amount);
    builder.range_check(credited_balance, AMOUNT_BITS);
    let place = builder.split_le(recipient.index, TREE_DEPTH);
    let existing = Preimage::account(recipient.key, recipient.balance, recipient.nonce);
    let existing = existing.hash_in(builder);
    // An empty place is four zeros.
    let old = HashOutTarget {
        elements: existing
            .elements
            .map(|element| builder.arithmetic(F::NEG_ONE, F::ONE, slot.creates, element, element)),
    };
    let new = Preimage::account(recipient.key, credited_balance, recipient.nonce).hash_in(builder);
    let found = root(builder, old, &place, recipient);
    builder.connect_hashes(found, charged);
    let after = root(builder, new, &place, recipient);
    (before, after)
}

/// The root above an account at a place.
fn root(
    builder: &mut Builder,
    account: HashOutTarget,
    place: &[BoolTarget],
    entry: &Entry<Target>,
) -> HashOutTarget {
    let root = builder.add_virtual_hash();
    let siblings = entry.siblings.map(|elements| HashOutTarget { elements });
    let path = MerkleProofTarget {
        siblings: siblings.to_vec(),
    };
    builder.verify_merkle_proof::<PoseidonHash>(account.elements.to_vec(), place, root, &path);
    root
}

/// The chain of transfers after a slot; unchanged when it holds none.
fn link(builder: &mut Builder, previous: [Target; 4], slot: &Slot<Target>) -> [Target; 4] {
    let next = Preimage::transfer(
        previous,
        slot.sender.key,
        slot.recipient.key,
        slot.amount,
        slot.fee,
        slot.sender.nonce,
    )
    .hash_in(builder);
    let active = BoolTarget::new_unsafe(slot.active);
    std::array::from_fn(|i| builder.select(active, next.elements[i], previous[i]))
}

impl Leaf {
    /// Builds the circuit in the given shape.
    ///
    /// # Errors
    /// [`Error::Proving`] when it does not fit.
    pub fn build(shape: &Shape) -> Result<Self> {
        let mut builder = Builder::new(shape::config());
        let inputs = define(&mut builder);
        let circuit = shape::build(builder, shape)?;
        Ok(Self { circuit, inputs })
    }

    /// The stored circuit, usable again.
    pub fn from_circuit(circuit: CircuitData<F, C, D>) -> Self {
        let inputs = Inputs::new(&mut Builder::new(shape::config()));
        Self { circuit, inputs }
    }

    /// Proves a batch; `key` is the merge circuit's.
    ///
    /// # Errors
    /// [`Error::Proving`] when the witness is false. It may also panic then: call it guarded.
    pub fn prove(
        &self,
        key: &Key,
        job: Digest,
        prover: Digest,
        position: u64,
        slots: &[Slot<F>],
    ) -> Result<ProofWithPublicInputs<F, C, D>> {
        let mut witness = PartialWitness::new();
        self.set(&mut witness, key, job, prover, position, slots)
            .and_then(|()| self.circuit.prove(witness))
            .map_err(|error| Error::Proving(format!("the leaf cannot be proved: {error}")))
    }

    fn set(
        &self,
        witness: &mut PartialWitness<F>,
        key: &Key,
        job: Digest,
        prover: Digest,
        position: u64,
        slots: &[Slot<F>],
    ) -> anyhow::Result<()> {
        witness.set_target_arr(&self.inputs.job, &job.elements)?;
        witness.set_target_arr(&self.inputs.prover, &prover.elements)?;
        witness.set_target(self.inputs.position, F::from_canonical_u64(position))?;
        witness.set_verifier_data_target(&self.inputs.key, key)?;
        anyhow::ensure!(
            slots.len() == LEAF_TRANSFERS,
            "a leaf has {LEAF_TRANSFERS} slots"
        );
        let (mut targets, mut values) = (Vec::new(), Vec::new());
        for (slot_targets, slot_values) in self.inputs.slots.iter().zip(slots) {
            slot_targets.write(&mut targets);
            slot_values.write(&mut values);
        }
        witness.set_target_arr(&targets, &values)
    }
}
