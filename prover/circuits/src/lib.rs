//! Recursive proofs of a small rollup: the circuits, the rollup state they speak about, and the one
//! function that accepts a proof.
//!
//! A *leaf* proves a batch of transfers, a *merge* proves that it verified two neighbouring proofs;
//! both name the prover that made them and bind it into a *claim*. One leaf circuit and one
//! self-recursive merge circuit share one shape, so a proof tree may have any form. Proof system:
//! plonky2 1.1.0 (PLONK arithmetisation with FRI, no trusted setup), Poseidon over the Goldilocks
//! field, about 100 bits of conjectured security. Signatures of transfers are not proved; whoever
//! accepts a batch checks them.
//!
//! * [`field`]: field elements, bytes, and every tagged hash in one place
//! * [`transfer`], [`tree`], [`directory`], [`state`]: the rollup, natively
//! * [`witness`]: what a prover must know about a batch
//! * [`statement`], [`shape`], [`leaf`], [`merge`]: the circuits
//! * [`circuits`], [`cache`]: both circuits built, stored and used
//! * [`pinned`], [`verify`]: the only acceptance of proofs
//! * `python`: the module `prover._native`

pub mod cache;
pub mod circuits;
pub mod directory;
pub mod error;
pub mod field;
pub mod leaf;
pub mod merge;
pub mod pinned;
#[cfg(feature = "python")]
mod python;
pub mod shape;
pub mod state;
pub mod statement;
pub mod transfer;
pub mod tree;
pub mod verify;
pub mod witness;
