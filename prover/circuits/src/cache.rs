//! Built circuits on disk, so that a worker starts in a fraction of a second.
//!
//! One file: a header with the circuits' digests, the parts' lengths and their SHA-256, then the
//! parts. Decoding a circuit from a stranger is unsafe, so the directory must be the user's own;
//! the checks here find damage and other versions, not malice.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use plonky2::plonk::circuit_data::CircuitData;
use plonky2::util::serialization::{DefaultGateSerializer, DefaultGeneratorSerializer};
use sha2::{Digest as _, Sha256};

use crate::circuits::Circuits;
use crate::error::{guarded, Error, Result};
use crate::field::{to_bytes, C, D, F};
use crate::leaf::Leaf;
use crate::merge::Merge;
use crate::pinned;

/// Name of the file in the cache directory.
pub const FILE: &str = "circuits";

const MAGIC: &[u8; 16] = b"provnet circuit\x01";
const HEADER_BYTES: usize = 16 + 2 * PART_BYTES;
const PART_BYTES: usize = 32 + 8 + 32;

/// One circuit's part of the header.
#[derive(PartialEq, Eq)]
struct Part {
    circuit: [u8; 32],
    length: u64,
    content: [u8; 32],
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Builds the circuits, checks that they are the pinned ones, and stores them; half a minute on one
/// core at most. The file appears whole or not at all, whoever else is writing it.
///
/// # Errors
/// [`Error::Proving`] when the build differs from what verifiers know, [`Error::Storage`] when the
/// file cannot be written.
pub fn build(directory: &Path) -> Result<()> {
    let circuits = Circuits::build()?;
    if !circuits.are_pinned() {
        let sentence = "the circuits built here are not the pinned ones";
        return Err(Error::Proving(sentence.into()));
    }
    store(directory, &circuits)
}

/// Stores circuits.
///
/// # Errors
/// [`Error::Storage`] when the file cannot be written.
pub fn store(directory: &Path, circuits: &Circuits) -> Result<()> {
    fs::create_dir_all(directory)?;
    let partial = directory.join(format!("{FILE}.{}.partial", std::process::id()));
    let written = write(&partial, circuits).and_then(|()| fs::rename(&partial, path(directory)));
    if written.is_err() {
        // The first error is the one worth reporting.
        let _ = fs::remove_file(&partial);
    }
    Ok(written?)
}

fn write(path: &Path, circuits: &Circuits) -> io::Result<()> {
    let parts = [&circuits.leaf.circuit, &circuits.merge.circuit].map(|circuit| {
        circuit
            .to_bytes(
                &DefaultGateSerializer,
                &DefaultGeneratorSerializer::<C, D>::default(),
            )
            .expect("both circuits use the library's own gates and generators only")
    });
    let digests = [&circuits.leaf.circuit, &circuits.merge.circuit]
        .map(|circuit| to_bytes(circuit.verifier_only.circuit_digest));
    let mut file = File::create(path)?;
    file.write_all(MAGIC)?;
    for (part, digest) in parts.iter().zip(digests) {
        file.write_all(&digest)?;
        file.write_all(&(part.len() as u64).to_le_bytes())?;
        file.write_all(&Sha256::digest(part))?;
    }
    for part in &parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// Whether the directory holds the pinned circuits, undamaged. Reads and hashes the file, decodes
/// nothing.
pub fn is_valid(directory: &Path) -> bool {
    check(directory).unwrap_or(false)
}

fn check(directory: &Path) -> io::Result<bool> {
    let (parts, mut file) = match open(directory) {
        Ok(opened) => opened,
        Err(Error::Storage(error)) => return Err(error),
        Err(_) => return Ok(false),
    };
    for part in parts {
        let mut hasher = Sha256::new();
        let copied = io::copy(&mut file.by_ref().take(part.length), &mut hasher)?;
        if copied != part.length || hasher.finalize().as_slice() != part.content {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Loads the circuits.
///
/// # Errors
/// [`Error::Storage`] when the file cannot be read, [`Error::Input`] when it is damaged or holds
/// circuits other than the pinned ones.
pub fn load(directory: &Path) -> Result<Circuits> {
    let ([leaf, merge], mut file) = open(directory)?;
    let leaf = read_circuit(&mut file, &leaf)?;
    let merge = read_circuit(&mut file, &merge)?;
    let circuits = Circuits {
        leaf: Leaf::from_circuit(leaf),
        merge: Merge::from_circuit(merge),
    };
    if circuits.are_pinned() {
        Ok(circuits)
    } else {
        Err(unusable())
    }
}

fn unusable() -> Error {
    Error::Input("the circuit cache is damaged or of another version: build it again".into())
}

/// Opens the file and reads its header; refuses any but the pinned circuits and any other file
/// length.
fn open(directory: &Path) -> Result<([Part; 2], BufReader<File>)> {
    let file = File::open(path(directory))?;
    let length = file.metadata()?.len();
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut header = Vec::with_capacity(HEADER_BYTES);
    file.by_ref()
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut header)?;
    if header.len() != HEADER_BYTES || !header.starts_with(MAGIC) {
        return Err(unusable());
    }
    let parts = [0, 1].map(|i| parse_part(&header[MAGIC.len() + i * PART_BYTES..]));
    let pinned = [pinned::leaf(), pinned::merge()]
        .map(|circuit| to_bytes(circuit.verifier_only.circuit_digest));
    let lengths = parts[0].length.checked_add(parts[1].length);
    let whole = lengths.and_then(|sum| sum.checked_add(HEADER_BYTES as u64));
    if [parts[0].circuit, parts[1].circuit] != pinned || whole != Some(length) {
        return Err(unusable());
    }
    Ok((parts, file))
}

fn parse_part(bytes: &[u8]) -> Part {
    let array = |start: usize| bytes[start..start + 32].try_into().expect("32 bytes");
    Part {
        circuit: array(0),
        length: u64::from_le_bytes(bytes[32..40].try_into().expect("8 bytes")),
        content: array(40),
    }
}

fn read_circuit(file: &mut impl Read, part: &Part) -> Result<CircuitData<F, C, D>> {
    let mut bytes = Vec::new();
    file.take(part.length).read_to_end(&mut bytes)?;
    if Sha256::digest(&bytes).as_slice() != part.content {
        return Err(unusable());
    }
    let generators = DefaultGeneratorSerializer::<C, D>::default();
    guarded(|| {
        CircuitData::from_bytes(&bytes, &DefaultGateSerializer, &generators).map_err(|_| unusable())
    })
}
