//! The Python module `prover._native`; documented for its users in `prover/_native.pyi`.
//!
//! Thin: converts, releases the interpreter lock, and turns errors and panics into exceptions.

use std::path::PathBuf;

use plonky2::field::types::{Field, Field64};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyTuple};

use crate::cache;
use crate::circuits::{check_position, ChildBytes, Circuits};
use crate::error::{guarded, Error};
use crate::field::{from_bytes, job_digest, key_digest, to_bytes, Digest, Preimage, F};
use crate::pinned;
use crate::state::State;
use crate::statement::Statement;
use crate::transfer::{Transfer, AMOUNT_BITS};
use crate::tree::TREE_DEPTH;
use crate::verify::{self, Refusal, PROOF_BYTES};
use crate::witness::{self, LEAF_TRANSFERS};

create_exception!(
    prover._native,
    ProofError,
    PyException,
    "A proof could not be made."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Input(sentence) => PyValueError::new_err(sentence),
            Error::Proving(sentence) => ProofError::new_err(sentence),
            Error::Storage(error) => PyErr::from(error),
        }
    }
}

/// A whole number from 0 to 2^64 - 1; anything else that is an int is a ValueError.
struct Number(u64);

impl<'a, 'py> FromPyObject<'a, 'py> for Number {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Number).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(object.py()) {
                PyValueError::new_err("a number is not from 0 to 2^64 - 1")
            } else {
                error
            }
        })
    }
}

fn input(sentence: impl Into<String>) -> PyErr {
    PyValueError::new_err(sentence.into())
}

fn exactly_32(name: &str, bytes: &[u8]) -> PyResult<[u8; 32]> {
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| input(format!("the {name} has {length} bytes, not 32")))
}

fn digest(name: &str, bytes: &[u8]) -> PyResult<Digest> {
    from_bytes(&exactly_32(name, bytes)?)
        .ok_or_else(|| input(format!("the {name} is not four canonical field elements")))
}

type TransferParts<'py> = (
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Number,
    Number,
    Number,
);

fn transfer(object: &Bound<'_, PyAny>) -> PyResult<Transfer> {
    let (sender, recipient, amount, fee, nonce): TransferParts = object.extract()?;
    Ok(Transfer {
        sender: exactly_32("sender", sender.as_bytes())?,
        recipient: exactly_32("recipient", recipient.as_bytes())?,
        amount: amount.0,
        fee: fee.0,
        nonce: nonce.0,
    })
}

fn transfers(objects: &[Bound<'_, PyAny>]) -> PyResult<Vec<Transfer>> {
    let named = |(index, object): (usize, &Bound<'_, PyAny>)| {
        transfer(object).map_err(|error| {
            if error.is_instance_of::<PyValueError>(object.py()) {
                input(format!("transfer {index}: {}", error.value(object.py())))
            } else {
                error
            }
        })
    };
    objects.iter().enumerate().map(named).collect()
}

fn py_digest(py: Python<'_>, digest: Digest) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &to_bytes(digest))
}

#[pyclass(frozen, name = "RollupState", module = "prover._native")]
struct PyState(State);

#[pymethods]
impl PyState {
    #[staticmethod]
    fn genesis(py: Python<'_>, accounts: Vec<(Bound<'_, PyBytes>, Number)>) -> PyResult<Self> {
        let accounts = accounts
            .into_iter()
            .map(|(key, balance)| Ok((exactly_32("key", key.as_bytes())?, balance.0)))
            .collect::<PyResult<Vec<_>>>()?;
        Ok(Self(py.detach(|| guarded(|| State::genesis(&accounts)))?))
    }

    #[staticmethod]
    fn restore(
        py: Python<'_>,
        accounts: Vec<(Bound<'_, PyBytes>, Number, Number)>,
    ) -> PyResult<Self> {
        let accounts = accounts
            .into_iter()
            .map(|(key, balance, nonce)| {
                Ok((exactly_32("key", key.as_bytes())?, balance.0, nonce.0))
            })
            .collect::<PyResult<Vec<_>>>()?;
        Ok(Self(py.detach(|| guarded(|| State::restore(&accounts)))?))
    }

    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_digest(py, self.0.root())
    }

    #[getter]
    fn total(&self) -> u64 {
        self.0.total()
    }

    #[getter]
    fn account_count(&self) -> usize {
        self.0.account_count()
    }

    fn account(&self, key: &[u8]) -> PyResult<Option<(u64, u64)>> {
        let account = self.0.account(&exactly_32("key", key)?);
        Ok(account.map(|account| (account.balance, account.nonce)))
    }

    fn execute<'py>(
        &self,
        py: Python<'py>,
        transfers: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<(Self, Bound<'py, PyBytes>, u64)> {
        let batch = self::transfers(&transfers)?;
        let executed = py.detach(|| guarded(|| Ok(self.0.execute(&batch)?)))?;
        let digest = py_digest(py, executed.digest);
        Ok((Self(executed.state), digest, executed.fees))
    }

    fn first_invalid(
        &self,
        py: Python<'_>,
        transfers: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<Option<(usize, String)>> {
        let batch = self::transfers(&transfers)?;
        let outcome = py.detach(|| guarded(|| Ok(self.0.execute(&batch))))?;
        Ok(outcome.err().map(|invalid| (invalid.index, invalid.reason)))
    }

    fn witness<'py>(
        &self,
        py: Python<'py>,
        transfers: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let batch = self::transfers(&transfers)?;
        let bytes = py.detach(|| guarded(|| Ok(witness::to_bytes(&self.0.witness(&batch)?))))?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn accounts<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, u64, u64)> {
        let accounts = self.0.accounts().into_iter();
        accounts
            .map(|account| {
                (
                    PyBytes::new(py, &account.key),
                    account.balance,
                    account.nonce,
                )
            })
            .collect()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0.root() == other.0.root()
    }

    fn __hash__(&self) -> u64 {
        let root = to_bytes(self.0.root());
        u64::from_le_bytes(root[..8].try_into().expect("eight bytes"))
    }

    fn __repr__(&self) -> String {
        let root: String = to_bytes(self.0.root())[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (count, total) = (self.0.account_count(), self.0.total());
        format!("RollupState(root={root}.., accounts={count}, total={total})")
    }
}

#[pyclass(frozen, name = "Circuits", module = "prover._native")]
struct PyCircuits(Circuits);

#[pymethods]
impl PyCircuits {
    #[new]
    fn new(py: Python<'_>, directory: PathBuf) -> PyResult<Self> {
        Ok(Self(py.detach(|| guarded(|| cache::load(&directory)))?))
    }

    fn prove_leaf<'py>(
        &self,
        py: Python<'py>,
        job: &[u8],
        prover: &[u8],
        position: Number,
        witness: &[u8],
        threads: Number,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let job = exactly_32("job", job)?;
        let prover = exactly_32("prover", prover)?;
        let threads = threads.0 as usize;
        let proof = py.detach(|| {
            guarded(|| {
                self.0
                    .prove_leaf(&job, &prover, position.0, witness, threads)
            })
        })?;
        Ok(PyBytes::new(py, &proof))
    }

    #[allow(clippy::too_many_arguments)] // the signature that Python sees
    fn prove_merge<'py>(
        &self,
        py: Python<'py>,
        job: &[u8],
        prover: &[u8],
        left: &[u8],
        left_is_merge: bool,
        right: &[u8],
        right_is_merge: bool,
        threads: Number,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let job = exactly_32("job", job)?;
        let prover = exactly_32("prover", prover)?;
        let threads = threads.0 as usize;
        let left = ChildBytes {
            proof: left,
            is_merge: left_is_merge,
        };
        let right = ChildBytes {
            proof: right,
            is_merge: right_is_merge,
        };
        let proof =
            py.detach(|| guarded(|| self.0.prove_merge(&job, &prover, left, right, threads)))?;
        Ok(PyBytes::new(py, &proof))
    }
}

#[pyfunction]
fn leaf_claim<'py>(
    py: Python<'py>,
    prover: &[u8],
    position: Number,
    digest: &[u8],
    fees: Number,
) -> PyResult<Bound<'py, PyBytes>> {
    let prover = key_digest(&exactly_32("prover", prover)?);
    let digest = self::digest("digest", digest)?;
    check_position(position.0)?;
    if fees.0 >> AMOUNT_BITS != 0 {
        return Err(input(format!("the fees are not below 2^{AMOUNT_BITS}")));
    }
    let [position, fees] = [position.0, fees.0].map(F::from_canonical_u64);
    let claim = Preimage::leaf_claim(prover.elements, position, digest.elements, fees);
    Ok(py_digest(py, claim.hash()))
}

#[pyfunction]
fn merge_claim<'py>(
    py: Python<'py>,
    prover: &[u8],
    left: &[u8],
    right: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let prover = key_digest(&exactly_32("prover", prover)?);
    let [left, right] = [digest("left claim", left)?, digest("right claim", right)?];
    let claim = Preimage::merge_claim(prover.elements, left.elements, right.elements);
    Ok(py_digest(py, claim.hash()))
}

#[pyfunction]
fn pinned_digests(py: Python<'_>) -> (Bound<'_, PyBytes>, Bound<'_, PyBytes>) {
    (
        py_digest(py, pinned::leaf().verifier_only.circuit_digest),
        py_digest(py, pinned::merge().verifier_only.circuit_digest),
    )
}

#[pyfunction]
fn build_cache(py: Python<'_>, directory: PathBuf) -> PyResult<()> {
    Ok(py.detach(|| guarded(|| cache::build(&directory)))?)
}

#[pyfunction]
fn cache_is_valid(py: Python<'_>, directory: PathBuf) -> bool {
    py.detach(|| cache::is_valid(&directory))
}

/// The expected statement; the refusal names an argument that no proof can state.
fn expected(
    job: &[u8],
    prover: &[u8],
    roots: [&[u8]; 2],
    claim: &[u8],
    span: [u64; 2],
) -> Result<Statement<F>, Refusal> {
    let read = |bytes: &[u8]| from_bytes(bytes.try_into().ok()?).map(|digest| digest.elements);
    let [from, to] = roots.map(|root| read(root).ok_or(Refusal::Roots));
    if span.iter().any(|&leaf| leaf >= F::ORDER) {
        return Err(Refusal::Span);
    }
    let [lo, hi] = span.map(F::from_canonical_u64);
    Ok(Statement {
        from: from?,
        to: to?,
        job: job_digest(job.try_into().map_err(|_| Refusal::Job)?).elements,
        prover: key_digest(prover.try_into().map_err(|_| Refusal::Prover)?).elements,
        claim: read(claim).ok_or(Refusal::Claim)?,
        lo,
        hi,
    })
}

#[pyfunction]
#[pyo3(name = "verify")]
#[allow(clippy::too_many_arguments)] // the signature that Python sees
fn py_verify(
    py: Python<'_>,
    proof: &[u8],
    is_merge: bool,
    job: &[u8],
    prover: &[u8],
    from_root: &[u8],
    to_root: &[u8],
    claim: &[u8],
    lo: Number,
    hi: Number,
) -> Option<&'static str> {
    let verdict = py.detach(|| {
        let expected = expected(job, prover, [from_root, to_root], claim, [lo.0, hi.0])?;
        verify::verify(proof, is_merge, &expected)
    });
    verdict.err().map(Refusal::word)
}

/// `tuple[bytes, bytes, int, int, int]`, for annotations.
fn transfer_type(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let (bytes, int) = (py.get_type::<PyBytes>(), py.get_type::<PyInt>());
    let parts = [&bytes, &bytes, &int, &int, &int];
    py.get_type::<PyTuple>().get_item(PyTuple::new(py, parts)?)
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("TREE_DEPTH", TREE_DEPTH)?;
    module.add("LEAF_TRANSFERS", LEAF_TRANSFERS)?;
    module.add("PROOF_BYTES", PROOF_BYTES)?;
    module.add("Transfer", transfer_type(module.py())?)?;
    module.add("ProofError", module.py().get_type::<ProofError>())?;
    module.add_class::<PyState>()?;
    module.add_class::<PyCircuits>()?;
    module.add_function(wrap_pyfunction!(leaf_claim, module)?)?;
    module.add_function(wrap_pyfunction!(merge_claim, module)?)?;
    module.add_function(wrap_pyfunction!(pinned_digests, module)?)?;
    module.add_function(wrap_pyfunction!(build_cache, module)?)?;
    module.add_function(wrap_pyfunction!(cache_is_valid, module)?)?;
    module.add_function(wrap_pyfunction!(py_verify, module)?)
}
