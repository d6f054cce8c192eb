//! Honest trees are accepted and everything else is not, on one set of freshly built circuits.

use std::collections::HashSet;
use std::sync::LazyLock;

use _native::cache;
use _native::circuits::{ChildBytes, Circuits};
use _native::error::{guarded, Error, Result};
use _native::field::{job_digest, key_digest, Builder, Digest, Preimage, F};
use _native::shape::{self, DEGREE_BITS};
use _native::state::State;
use _native::statement::{key_elements, Statement, KEY_LENGTH, STATEMENT_LENGTH};
use _native::transfer::Transfer;
use _native::verify::{parse, verify, Proof, Refusal, PROOF_BYTES};
use _native::witness::{self, Slot, LEAF_TRANSFERS};
use _native::{leaf, merge, pinned};
use plonky2::field::types::{Field, Field64, PrimeField64};
use plonky2::recursion::dummy_circuit::{dummy_circuit, dummy_proof};

const JOB: [u8; 32] = [0xA1; 32];
const OTHER: [u8; 32] = [0xB2; 32];
const THREADS: usize = 2;

static CIRCUITS: LazyLock<Circuits> = LazyLock::new(|| Circuits::build().unwrap());

fn key(seed: usize) -> [u8; 32] {
    [seed as u8; 32]
}

fn prover(position: usize) -> [u8; 32] {
    key(200 + position)
}

fn transfer(sender: usize, recipient: usize, amount: u64, fee: u64, nonce: u64) -> Transfer {
    Transfer {
        sender: key(sender),
        recipient: key(recipient),
        amount,
        fee,
        nonce,
    }
}

/// Four leaves: a full one, one with a new account and a move to oneself, an empty one, a single
/// transfer.
fn batches() -> [Vec<Transfer>; 4] {
    let full = (0..LEAF_TRANSFERS as u64).map(|nonce| transfer(1, 2, 10, 1, nonce));
    [
        full.collect(),
        vec![
            transfer(2, 3, 500, 7, 0),
            transfer(2, 2, 5, 0, 1),
            transfer(3, 1, 0, 0, 0),
        ],
        vec![],
        vec![transfer(3, 4, 493, 7, 1)],
    ]
}

fn genesis() -> State {
    State::genesis(&[(key(1), 10_000), (key(2), 1 << 61)]).unwrap()
}

/// A proof, what it must state, and which circuit made it.
#[derive(Clone)]
struct Node {
    proof: Vec<u8>,
    is_merge: bool,
    expected: Statement<F>,
}

impl Node {
    fn child(&self) -> ChildBytes<'_> {
        ChildBytes {
            proof: &self.proof,
            is_merge: self.is_merge,
        }
    }

    fn verdict(&self) -> std::result::Result<(), Refusal> {
        verify(&self.proof, self.is_merge, &self.expected)
    }

    fn parsed(&self) -> Proof {
        parse(&self.proof).unwrap()
    }
}

fn leaves() -> Vec<Node> {
    let mut state = genesis();
    let mut leaves = Vec::new();
    for (position, batch) in batches().iter().enumerate() {
        let executed = state.execute(batch).unwrap();
        let witness = witness::to_bytes(&state.witness(batch).unwrap());
        let name = prover(position);
        let lo = position as u64;
        let proof = CIRCUITS
            .prove_leaf(&JOB, &name, lo, &witness, THREADS)
            .unwrap();
        let lo = F::from_canonical_u64(lo);
        let fees = F::from_canonical_u64(executed.fees);
        let prover = key_digest(&name).elements;
        let expected = Statement {
            from: state.root().elements,
            to: executed.state.root().elements,
            job: job_digest(&JOB).elements,
            prover,
            claim: Preimage::leaf_claim(prover, lo, executed.digest.elements, fees)
                .hash()
                .elements,
            lo,
            hi: lo + F::ONE,
        };
        leaves.push(Node {
            proof,
            is_merge: false,
            expected,
        });
        state = executed.state;
    }
    leaves
}

fn merged(left: &Node, right: &Node) -> Node {
    let name = prover(9);
    let prover = key_digest(&name).elements;
    let proof = CIRCUITS
        .prove_merge(&JOB, &name, left.child(), right.child(), THREADS)
        .unwrap();
    let claim = Preimage::merge_claim(prover, left.expected.claim, right.expected.claim);
    let expected = Statement {
        from: left.expected.from,
        to: right.expected.to,
        job: left.expected.job,
        prover,
        claim: claim.hash().elements,
        lo: left.expected.lo,
        hi: right.expected.hi,
    };
    Node {
        proof,
        is_merge: true,
        expected,
    }
}

static LEAVES: LazyLock<Vec<Node>> = LazyLock::new(leaves);
static PAIR: LazyLock<Node> = LazyLock::new(|| merged(&LEAVES[0], &LEAVES[1]));

/// The merge circuit run without the checks that come before it.
fn merge_unchecked(left: (&Proof, bool), right: (&Proof, bool)) -> Result<Proof> {
    let prover = key_digest(&prover(9));
    guarded(|| CIRCUITS.merge.prove(CIRCUITS.key(), prover, [left, right]))
}

fn failed_in_the_proof_system<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Proving(_)))
}

#[test]
fn fresh_circuits_are_the_pinned_ones_and_have_the_planned_size() {
    assert!(CIRCUITS.are_pinned());
    for (circuit, known, file) in [
        (
            &CIRCUITS.leaf.circuit,
            pinned::leaf(),
            &include_bytes!("../pinned/leaf.verifier")[..],
        ),
        (
            &CIRCUITS.merge.circuit,
            pinned::merge(),
            &include_bytes!("../pinned/merge.verifier")[..],
        ),
    ] {
        assert_eq!(circuit.common.degree_bits(), DEGREE_BITS);
        assert_eq!(
            circuit.common.num_public_inputs,
            STATEMENT_LENGTH + KEY_LENGTH
        );
        assert_eq!(
            circuit.verifier_only.circuit_digest,
            known.verifier_only.circuit_digest
        );
        assert_eq!(pinned::to_bytes(circuit), file);
        assert_eq!(key_elements(&circuit.verifier_only).len(), KEY_LENGTH);
    }
    let mut builder = Builder::new(shape::config());
    leaf::define(&mut builder);
    let leaf_rows = builder.num_gates();
    let mut builder = Builder::new(shape::config());
    let leaf_key = &CIRCUITS.leaf.circuit.verifier_only;
    merge::define(&mut builder, &CIRCUITS.merge.circuit.common, leaf_key);
    let merge_rows = builder.num_gates();
    println!("rows before padding: leaf {leaf_rows}, merge {merge_rows}");
    assert!(leaf_rows > 7_000 && merge_rows > 7_000);
}

#[test]
fn honest_trees_of_any_form_are_accepted() {
    let right = merged(&LEAVES[2], &LEAVES[3]);
    let balanced = merged(&PAIR, &right);
    let three = merged(&PAIR, &LEAVES[2]);
    let lop_sided = merged(&three, &LEAVES[3]);
    for node in LEAVES
        .iter()
        .chain([&*PAIR, &right, &balanced, &three, &lop_sided])
    {
        assert_eq!(node.proof.len(), PROOF_BYTES);
        assert_eq!(node.verdict(), Ok(()));
    }
    assert_ne!(balanced.expected.claim, lop_sided.expected.claim);
}

/// A circuit of the same shape that checks nothing stands in for both children. The root proof is
/// honest, made under the stranger's key; only the comparison of that key tells it from a real one.
#[test]
fn a_root_over_forged_children_is_refused() {
    let shape = &CIRCUITS.merge.circuit.common;
    let stranger = dummy_circuit::<F, _, 2>(shape);
    let forged = |from: u64, lo: u64| {
        let invented = [F::from_canonical_u64(from); 4];
        let next = [F::from_canonical_u64(from + 1); 4];
        let statement = Statement {
            from: invented,
            to: next,
            job: job_digest(&JOB).elements,
            prover: key_digest(&OTHER).elements,
            claim: invented,
            lo: F::from_canonical_u64(lo),
            hi: F::from_canonical_u64(lo + 1),
        };
        let mut inputs = statement.elements();
        inputs.extend(key_elements(&stranger.verifier_only));
        dummy_proof(&stranger, inputs.into_iter().enumerate().collect()).unwrap()
    };
    let (left, right) = (forged(5, 0), forged(6, 1));
    let name = key_digest(&OTHER);
    let key = &stranger.verifier_only;
    let children = [(&left, true), (&right, true)];
    let root = CIRCUITS.merge.prove(key, name, children).unwrap();
    CIRCUITS
        .merge
        .circuit
        .verify(root.clone())
        .expect("the proof system alone is fooled");
    let stated = Statement::read(&root.public_inputs);
    assert_eq!(
        verify(&root.to_bytes(), true, &stated),
        Err(Refusal::ForeignCircuit)
    );

    let stated = Statement::read(&left.public_inputs);
    assert_eq!(
        verify(&left.to_bytes(), true, &stated),
        Err(Refusal::ForeignCircuit)
    );
    assert!(failed_in_the_proof_system(merge_unchecked(
        (&left, true),
        (&right, true)
    )));
}

#[test]
fn children_that_do_not_fit_cannot_be_merged() {
    let [left, right] = [0, 1].map(|i| LEAVES[i].parsed());
    let pair = PAIR.parsed();
    for [left, right] in [
        [(&right, false), (&left, false)],
        [(&left, false), (&left, false)],
        [(&left, true), (&right, false)],
        [(&left, false), (&right, true)],
        [(&pair, false), (&LEAVES[2].parsed(), false)],
    ] {
        assert!(failed_in_the_proof_system(merge_unchecked(left, right)));
    }
    let refused = |job: &[u8; 32], left: ChildBytes, right: ChildBytes| {
        let result = CIRCUITS.prove_merge(job, &prover(9), left, right, THREADS);
        assert!(matches!(result, Err(Error::Input(_))));
    };
    let [first, second] = [LEAVES[0].child(), LEAVES[1].child()];
    refused(&JOB, second, first);
    refused(&OTHER, first, second);
    refused(
        &JOB,
        ChildBytes {
            is_merge: true,
            ..first
        },
        second,
    );
    refused(
        &JOB,
        ChildBytes {
            proof: &[],
            ..first
        },
        second,
    );
}

#[test]
fn a_false_witness_cannot_be_proved() {
    type Lie = fn(&mut Vec<Slot<F>>);
    let batch = &batches()[1];
    let state = genesis().execute(&batches()[0]).unwrap().state;
    let honest = state.witness(batch).unwrap();
    let padding = batch.len();
    assert_eq!(
        (padding, honest[0].creates, honest[1].creates),
        (3, F::ONE, F::ZERO)
    );
    let lies: [(&str, Lie); 18] = [
        ("amount", |slots| slots[0].amount += F::ONE),
        ("fee", |slots| slots[0].fee += F::ONE),
        ("fee out of range", |slots| {
            slots[0].fee = F::from_canonical_u64(1 << 50)
        }),
        ("sender's nonce", |slots| slots[0].sender.nonce += F::ONE),
        ("sender's balance", |slots| {
            slots[0].sender.balance += F::ONE
        }),
        ("sender's key", |slots| slots[0].sender.key[0] += F::ONE),
        ("sender's place", |slots| slots[0].sender.index += F::ONE),
        ("place out of range", |slots| {
            slots[0].sender.index += F::from_canonical_u64(1 << 20)
        }),
        ("path", |slots| slots[0].sender.siblings[3][0] += F::ONE),
        ("recipient's balance", |slots| {
            slots[1].recipient.balance += F::ONE
        }),
        ("recipient's nonce", |slots| {
            slots[1].recipient.nonce += F::ONE
        }),
        ("credit to another account's place", |slots| {
            slots[0].recipient.index = F::ZERO;
            slots[0].recipient.siblings = slots[0].sender.siblings;
        }),
        ("a new account over an old one", |slots| {
            slots[1].creates = F::ONE
        }),
        ("a new account with money", |slots| {
            slots[0].recipient.balance = F::ONE
        }),
        ("a flag that is no bit", |slots| slots[0].active = F::TWO),
        ("money in an idle slot", |slots| slots[3].amount = F::ONE),
        ("a fee in an idle slot", |slots| slots[3].fee = F::ONE),
        ("a new account in an idle slot", |slots| {
            let empty = slots[0].recipient.index + F::ONE;
            slots[3].creates = F::ONE;
            slots[3].recipient.index = empty;
            slots[3].recipient.balance = F::ZERO;
            slots[3].recipient.nonce = F::ZERO;
        }),
    ];
    let (job, name) = (job_digest(&JOB), key_digest(&prover(1)));
    for (what, lie) in lies {
        let mut slots = honest.clone();
        lie(&mut slots);
        let result = guarded(|| CIRCUITS.leaf.prove(CIRCUITS.key(), job, name, 1, &slots));
        assert!(is_worthless(result), "{what}");
    }
}

/// Paths are computed anew for these, so only the range checks and the nonce stand against them.
#[test]
fn an_overdraft_with_a_consistent_tree_cannot_be_proved() {
    let state = State::genesis(&[(key(1), 10), (key(2), 10)]).unwrap();
    let mut slots = state.witness(&[transfer(1, 1, 10, 0, 0)]).unwrap();
    // The sender pays itself, so the recipient's entry is the sender's after the charge.
    slots.truncate(1);
    slots[0].amount = F::from_canonical_u64(11);
    slots[0].recipient.balance = F::NEG_ONE;
    let idle = state
        .execute(&[transfer(1, 1, 0, 0, 0)])
        .unwrap()
        .state
        .witness(&[])
        .unwrap();
    slots.extend_from_slice(&idle[1..]);
    let (job, name) = (job_digest(&JOB), key_digest(&prover(1)));
    let result = guarded(|| CIRCUITS.leaf.prove(CIRCUITS.key(), job, name, 0, &slots));
    assert!(is_worthless(result));
}

fn is_worthless(result: Result<Proof>) -> bool {
    match result {
        Err(Error::Proving(_)) => true,
        Err(_) => false,
        Ok(proof) => {
            let stated = Statement::read(&proof.public_inputs);
            verify(&proof.to_bytes(), false, &stated) == Err(Refusal::Invalid)
        }
    }
}

#[test]
fn every_word_of_the_statement_counts() {
    let reasons = [
        (0..8, Refusal::Roots),
        (8..12, Refusal::Job),
        (12..16, Refusal::Prover),
        (16..20, Refusal::Claim),
        (20..22, Refusal::Span),
    ];
    for node in [&LEAVES[1], &*PAIR] {
        for (indices, refusal) in reasons.clone() {
            for index in indices {
                let mut elements = node.expected.elements();
                elements[index] += F::ONE;
                let expected = Statement::read(&elements);
                assert_eq!(verify(&node.proof, node.is_merge, &expected), Err(refusal));
            }
        }
        assert_eq!(
            verify(&node.proof, !node.is_merge, &node.expected),
            Err(Refusal::Invalid)
        );
    }
}

#[test]
fn no_public_input_of_a_proof_can_be_changed() {
    for node in [&LEAVES[1], &*PAIR] {
        for index in 0..STATEMENT_LENGTH + KEY_LENGTH {
            let mut proof = node.parsed();
            proof.public_inputs[index] += F::ONE;
            let stated = Statement::read(&proof.public_inputs);
            let expected = if index < STATEMENT_LENGTH {
                Refusal::Invalid
            } else {
                Refusal::ForeignCircuit
            };
            assert_eq!(
                verify(&proof.to_bytes(), node.is_merge, &stated),
                Err(expected)
            );
        }
    }
}

#[test]
fn only_one_encoding_of_a_proof_is_accepted() {
    let node = &LEAVES[0];
    let mut longer = node.proof.clone();
    longer.push(0);
    let shorter = &node.proof[..PROOF_BYTES - 1];
    for bytes in [&longer, shorter, &[]] {
        assert_eq!(verify(bytes, false, &node.expected), Err(Refusal::Length));
    }
    // The public inputs end the proof; the first leaf's position is small enough to add the modulus
    // to it.
    let place = PROOF_BYTES - 8 * (STATEMENT_LENGTH + KEY_LENGTH) + 8 * 20;
    assert_eq!(node.proof[place..place + 8], [0; 8]);
    let mut shifted = node.proof.clone();
    shifted[place..place + 8].copy_from_slice(&F::ORDER.to_le_bytes());
    assert_eq!(
        verify(&shifted, false, &node.expected),
        Err(Refusal::NotCanonical)
    );
}

/// Splitmix64: the mutations are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize % end
    }
}

#[test]
fn damaged_proofs_are_refused_without_a_panic() {
    let mut random = Seeded(1);
    let mut reasons = HashSet::new();
    for round in 0..300 {
        let node = if round % 2 == 0 { &LEAVES[1] } else { &*PAIR };
        let mut bytes = node.proof.clone();
        for _ in 0..=random.below(3) {
            let place = random.below(PROOF_BYTES);
            match round % 3 {
                0 => bytes[place] ^= 1 << random.below(8),
                1 => bytes[place] = random.below(256) as u8 ^ bytes[place].wrapping_add(1),
                _ => {
                    let end = (place + 1 + random.below(64)).min(PROOF_BYTES);
                    let byte = random.below(256) as u8;
                    bytes[place..end].fill(byte);
                }
            }
        }
        if bytes == node.proof {
            continue;
        }
        let verdict = std::panic::catch_unwind(|| verify(&bytes, node.is_merge, &node.expected));
        reasons.insert(verdict.unwrap().unwrap_err().word());
    }
    assert!(
        reasons.contains("invalid") && reasons.contains("not_canonical"),
        "{reasons:?}"
    );
}

#[test]
fn a_stored_circuit_is_loaded_whole_or_not_at_all() {
    let directory = std::env::temp_dir().join(format!("provnet-circuits-{}", std::process::id()));
    assert!(!cache::is_valid(&directory));
    assert!(matches!(cache::load(&directory), Err(Error::Storage(_))));
    cache::store(&directory, &CIRCUITS).unwrap();
    assert!(cache::is_valid(&directory));
    assert!(cache::load(&directory).unwrap().are_pinned());

    let file = directory.join(cache::FILE);
    let whole = std::fs::read(&file).unwrap();
    for place in [3, 20, 60, 100, 100_000, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        assert!(!cache::is_valid(&directory));
        assert!(matches!(cache::load(&directory), Err(Error::Input(_))));
    }
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(!cache::is_valid(&directory));
    assert!(matches!(cache::load(&directory), Err(Error::Input(_))));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn malformed_requests_are_input_errors() {
    let witness = witness::to_bytes(&genesis().witness(&[]).unwrap());
    let mut not_canonical = witness.clone();
    not_canonical[..8].fill(0xFF);
    let refused = |position: u64, witness: &[u8], threads: usize| {
        let result = CIRCUITS.prove_leaf(&JOB, &OTHER, position, witness, threads);
        assert!(matches!(result, Err(Error::Input(_))));
    };
    refused(1 << 32, &witness, 1);
    refused(0, &witness[1..], 1);
    refused(0, &not_canonical, 1);
    refused(0, &witness, 0);
    refused(0, &witness, 257);
    let read = witness::from_bytes(&witness).unwrap();
    assert_eq!(witness::to_bytes(&read), witness);
    assert_eq!(read[0].sender.index.to_canonical_u64(), 0);
    assert_ne!(genesis().root(), Digest::ZERO);
}
