//! A move of money inside the rollup.

use crate::error::Error;

/// Exclusive upper bound of amounts, balances, nonces and of the sum of all balances, in
/// micro-units.
///
/// Two such numbers and a fee add up to less than the field's modulus, so no sum in the circuit
/// wraps.
pub const AMOUNT_BITS: usize = 62;

/// Fees are below 2^50 micro-units, so the fees of a whole leaf stay far below the modulus.
pub const FEE_BITS: usize = 50;

/// A signed-for move of money, without its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Key of the account that pays `amount` and `fee`.
    pub sender: [u8; 32],
    /// Key of the account that gets `amount`; it comes into being if it does not exist.
    pub recipient: [u8; 32],
    /// Micro-units, below 2^62.
    pub amount: u64,
    /// Micro-units that leave the rollup, below 2^50.
    pub fee: u64,
    /// Must equal the sender's count of transfers so far.
    pub nonce: u64,
}

/// Why a batch cannot be applied: the first transfer at fault and a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTransfer {
    /// Place in the batch, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl From<InvalidTransfer> for Error {
    fn from(invalid: InvalidTransfer) -> Self {
        Error::Input(format!("transfer {}: {}", invalid.index, invalid.reason))
    }
}
