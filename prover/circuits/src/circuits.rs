//! Both circuits together, as a prover uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{guarded, Error, Result};
use crate::field::{job_digest, key_digest, F};
use crate::leaf::Leaf;
use crate::merge::Merge;
use crate::pinned;
use crate::shape;
use crate::statement::{Key, Statement};
use crate::verify::{parse, verify, Proof};
use crate::witness;

/// Most threads one proof may use.
pub const THREADS_MAX: usize = 256;

/// Exclusive upper bound of leaf positions.
pub const POSITION_END: u64 = 1 << 32;

/// The leaf and the merge circuit, ready to prove.
pub struct Circuits {
    /// Proves batches of transfers.
    pub leaf: Leaf,
    /// Proves that two neighbouring proofs were verified.
    pub merge: Merge,
}

/// A child of a merge, as received.
#[derive(Clone, Copy)]
pub struct ChildBytes<'a> {
    /// The proof.
    pub proof: &'a [u8],
    /// Whether the merge circuit made it.
    pub is_merge: bool,
}

impl Circuits {
    /// Builds both from their definition; some seconds.
    ///
    /// # Errors
    /// [`Error::Proving`] when they do not have one shape.
    pub fn build() -> Result<Self> {
        guarded(|| {
            let shape = shape::fixed_point();
            let leaf = Leaf::build(&shape)?;
            let merge = Merge::build(&shape, &leaf.circuit.verifier_only)?;
            Ok(Self { leaf, merge })
        })
    }

    /// Whether these are the circuits that verifiers know.
    pub fn are_pinned(&self) -> bool {
        [
            (&self.leaf.circuit, pinned::leaf()),
            (&self.merge.circuit, pinned::merge()),
        ]
        .into_iter()
        .all(|(own, known)| own.verifier_only == known.verifier_only && own.common == known.common)
    }

    /// What every proof carries as the merge circuit's key.
    pub fn key(&self) -> &Key {
        &self.merge.circuit.verifier_only
    }

    /// Proves one leaf: its witness at `position`, in the name of `prover`, for `job`.
    ///
    /// # Errors
    /// [`Error::Input`] for a malformed witness, a position from [`POSITION_END`] on and a thread
    /// count out of 1 to [`THREADS_MAX`]; [`Error::Proving`] when the witness is false.
    pub fn prove_leaf(
        &self,
        job: &[u8; 32],
        prover: &[u8; 32],
        position: u64,
        witness: &[u8],
        threads: usize,
    ) -> Result<Vec<u8>> {
        let slots = witness::from_bytes(witness)?;
        check_position(position)?;
        let (job, prover) = (job_digest(job), key_digest(prover));
        let proof = on_threads(threads, || {
            self.leaf.prove(self.key(), job, prover, position, &slots)
        })?;
        accepted(&proof, false)
    }

    /// Proves one merge of two neighbours, in the name of `prover`, for `job`.
    ///
    /// # Errors
    /// [`Error::Input`] when a child is refused or belongs to another job, when they are not
    /// neighbours, and for a thread count out of 1 to [`THREADS_MAX`]; [`Error::Proving`] when the
    /// proof system fails.
    pub fn prove_merge(
        &self,
        job: &[u8; 32],
        prover: &[u8; 32],
        left: ChildBytes,
        right: ChildBytes,
        threads: usize,
    ) -> Result<Vec<u8>> {
        let left_proof = check_child("left", left)?;
        let right_proof = check_child("right", right)?;
        check_neighbours(&job_digest(job).elements, &left_proof, &right_proof)?;
        let children = [(&left_proof, left.is_merge), (&right_proof, right.is_merge)];
        let prover = key_digest(prover);
        let proof = on_threads(threads, || self.merge.prove(self.key(), prover, children))?;
        accepted(&proof, true)
    }
}

/// Refuses a position that no leaf can have.
///
/// # Errors
/// [`Error::Input`] from [`POSITION_END`] on.
pub fn check_position(position: u64) -> Result<()> {
    if position < POSITION_END {
        return Ok(());
    }
    Err(Error::Input(
        "the position of a leaf is not below 2^32".into(),
    ))
}

fn check_child(name: &str, child: ChildBytes) -> Result<Proof> {
    let refuse = |word: &str| Error::Input(format!("the {name} child is refused: {word}"));
    let proof = parse(child.proof).map_err(|refusal| refuse(refusal.word()))?;
    let stated = Statement::read(&proof.public_inputs);
    verify(child.proof, child.is_merge, &stated).map_err(|refusal| refuse(refusal.word()))?;
    Ok(proof)
}

fn check_neighbours(job: &[F; 4], left: &Proof, right: &Proof) -> Result<()> {
    let left = Statement::read(&left.public_inputs);
    let right = Statement::read(&right.public_inputs);
    let checks = [
        (left.job == *job, "the left child belongs to another job"),
        (right.job == *job, "the right child belongs to another job"),
        (
            left.hi == right.lo,
            "the right child does not begin where the left one ends",
        ),
        (
            left.to == right.from,
            "the right child does not start from the left one's root",
        ),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, sentence)) => Err(Error::Input(sentence.into())),
    }
}

/// The proof's bytes, provided a verifier takes them: nobody is handed a proof that others would
/// refuse.
fn accepted(proof: &Proof, is_merge: bool) -> Result<Vec<u8>> {
    let bytes = proof.to_bytes();
    let stated = Statement::read(&proof.public_inputs);
    verify(&bytes, is_merge, &stated).map_err(|refusal| {
        Error::Proving(format!("the new proof is refused: {}", refusal.word()))
    })?;
    Ok(bytes)
}

static POOLS: Mutex<BTreeMap<usize, Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());

/// Runs `work` on a pool of exactly this many threads; pools are kept for the next time.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !(1..=THREADS_MAX).contains(&threads) {
        return Err(Error::Input(format!(
            "threads must be from 1 to {THREADS_MAX}"
        )));
    }
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = match pools.get(&threads) {
        Some(pool) => Arc::clone(pool),
        None => {
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(|error| Error::Storage(std::io::Error::other(error)))?;
            Arc::clone(pools.entry(threads).or_insert(Arc::new(pool)))
        }
    };
    drop(pools);
    guarded(|| pool.install(work))
}
