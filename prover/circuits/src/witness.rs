//! What a prover must know about a batch of transfers, slot by slot.
//!
//! The same structure holds field elements (values) and circuit wires, in one fixed order; the
//! bytes of a witness are its values in that order, so their length never varies.

use plonky2::field::types::Field;

use crate::error::{Error, Result};
use crate::field::{elements_from_bytes, F};
use crate::tree::TREE_DEPTH;
use plonky2::field::types::PrimeField64;

/// Most transfers in one leaf.
pub const LEAF_TRANSFERS: usize = 80;

/// Exact length of a witness in bytes.
pub const WITNESS_BYTES: usize = LEAF_TRANSFERS * Slot::<F>::LENGTH * 8;

/// A place of the account tree as it is before an update.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// Place at the bottom of the tree.
    pub index: T,
    /// Digest of the account's key.
    pub key: [T; 4],
    /// Micro-units.
    pub balance: T,
    /// Count of transfers sent so far.
    pub nonce: T,
    /// Hashes of the siblings on the way up, lowest first.
    pub siblings: [[T; 4]; TREE_DEPTH],
}

impl<T: Copy> Entry<T> {
    const LENGTH: usize = 7 + 4 * TREE_DEPTH;

    fn read(next: &mut impl FnMut() -> T) -> Self {
        Self {
            index: next(),
            key: std::array::from_fn(|_| next()),
            balance: next(),
            nonce: next(),
            siblings: std::array::from_fn(|_| std::array::from_fn(|_| next())),
        }
    }

    fn write(&self, out: &mut Vec<T>) {
        out.push(self.index);
        out.extend(self.key);
        out.extend([self.balance, self.nonce]);
        out.extend(self.siblings.as_flattened());
    }
}

/// One transfer with the places it changes.
///
/// A slot without a transfer is a move of nothing from an account to itself that is not counted.
#[derive(Clone, Debug)]
pub struct Slot<T> {
    /// 1 for a transfer, 0 for a slot without one.
    pub active: T,
    /// Micro-units from the sender to the recipient.
    pub amount: T,
    /// Micro-units from the sender out of the rollup.
    pub fee: T,
    /// The sender before the transfer.
    pub sender: Entry<T>,
    /// 1 when the recipient's place is empty: its account comes into being.
    pub creates: T,
    /// The recipient after the sender was charged; balance and nonce are zero when `creates`.
    pub recipient: Entry<T>,
}

impl<T: Copy> Slot<T> {
    /// Count of elements.
    pub const LENGTH: usize = 4 + 2 * Entry::<T>::LENGTH;

    /// A slot whose elements come from `next`, in the fixed order.
    pub fn read(next: &mut impl FnMut() -> T) -> Self {
        Self {
            active: next(),
            amount: next(),
            fee: next(),
            sender: Entry::read(next),
            creates: next(),
            recipient: Entry::read(next),
        }
    }

    /// Appends all elements in the fixed order.
    pub fn write(&self, out: &mut Vec<T>) {
        out.extend([self.active, self.amount, self.fee]);
        self.sender.write(out);
        out.push(self.creates);
        self.recipient.write(out);
    }
}

impl Slot<F> {
    /// The slot without a transfer, given any account that exists.
    pub fn padding(account: Entry<F>) -> Self {
        Self {
            active: F::ZERO,
            amount: F::ZERO,
            fee: F::ZERO,
            sender: account.clone(),
            creates: F::ZERO,
            recipient: account,
        }
    }
}

/// Canonical bytes of exactly [`LEAF_TRANSFERS`] slots.
pub fn to_bytes(slots: &[Slot<F>]) -> Vec<u8> {
    let mut elements = Vec::with_capacity(WITNESS_BYTES / 8);
    slots.iter().for_each(|slot| slot.write(&mut elements));
    elements
        .iter()
        .flat_map(|element| element.to_canonical_u64().to_le_bytes())
        .collect()
}

/// Inverse of [`to_bytes`].
///
/// # Errors
/// [`Error::Input`] on any other length and on integers that are not below the modulus. Whether the
/// content is true is for the circuit to find out.
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<Slot<F>>> {
    if bytes.len() != WITNESS_BYTES {
        let length = bytes.len();
        return Err(Error::Input(format!(
            "a witness has {WITNESS_BYTES} bytes, not {length}"
        )));
    }
    let elements = elements_from_bytes(bytes).ok_or_else(|| {
        Error::Input("the witness holds a number that is no field element".into())
    })?;
    let mut elements = elements.into_iter();
    let mut next = || elements.next().expect("the length was checked");
    Ok((0..LEAF_TRANSFERS).map(|_| Slot::read(&mut next)).collect())
}
