//! Keys in files: two lines of text that only their owner can read.
//!
//! ```text
//! cretoai-key-v1 ml-dsa-87
//! 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
//! ```
//! The second line is the seed. Permissions are those of Unix.

use super::{KeyError, Keys, scheme_name};
use cretoai_core::config::Scheme;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

const HEADER: &str = "cretoai-key-v1 ";

/// Bytes of a key file, at the most; a longer one is none.
const MAX_BYTES: usize = 128;

impl Keys {
    /// Writes the keys into a new file with mode 0600, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is a file of that name, which stays as it is; [`KeyError::Io`] when it cannot be
    /// written.
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        // Made in one piece and large enough, so that no copy of the secret is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
        text.push_str(HEADER);
        text.push_str(scheme_name(self.scheme()));
        text.push('\n');
        for byte in self.seed() {
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        text.push('\n');
        write_new(path, text.as_bytes()).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => KeyError::Io { path: path.to_owned(), error },
        })
    }

    /// Reads keys from a file.
    ///
    /// # Errors
    /// [`KeyError::Exposed`] when anybody but its owner may read or change it, [`KeyError::Format`] when it is no key
    /// file, [`KeyError::Io`] when it cannot be read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |error| KeyError::Io { path: path.to_owned(), error };
        let malformed = |what| KeyError::Format { path: path.to_owned(), what };
        // Of the open file, so that nobody can swap it between the question and the reading.
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(malformed("is no regular file"));
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut buffer = Zeroizing::new([0; MAX_BYTES + 1]);
        let length = read_up_to(&mut file, &mut buffer[..]).map_err(failed)?;
        if MAX_BYTES < length {
            return Err(malformed("is too long"));
        }
        let (scheme, seed) = parse(&buffer[..length]).map_err(malformed)?;
        Self::from_seed(scheme, seed)
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // The name of the file is in its folder.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read(&mut buffer[length..]) {
            Ok(0) => return Ok(length),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse(text: &[u8]) -> Result<(Scheme, Zeroizing<[u8; 32]>), &'static str> {
    let text = text.strip_prefix(HEADER.as_bytes()).ok_or("has another first line, or another version")?;
    let end = text.iter().position(|byte| *byte == b'\n').ok_or("has only one line")?;
    let (name, rest) = text.split_at(end);
    let schemes = [Scheme::MlDsa87, Scheme::Ed25519];
    let scheme = schemes.into_iter().find(|scheme| scheme_name(*scheme).as_bytes() == name);
    let scheme = scheme.ok_or("names a scheme that is neither ml-dsa-87 nor ed25519")?;
    let digits = rest[1..].strip_suffix(b"\n").unwrap_or(&rest[1..]);
    if digits.len() != 64 {
        return Err("has a second line that is not 64 digits long");
    }
    let mut seed = Zeroizing::new([0; 32]);
    for (byte, pair) in seed.iter_mut().zip(digits.chunks(2)) {
        let [high, low] = [value(pair[0])?, value(pair[1])?];
        *byte = high << 4 | low;
    }
    Ok((scheme, seed))
}

fn digit(value: u8) -> char {
    char::from(if value < 10 { b'0' + value } else { b'a' + (value - 10) })
}

fn value(digit: u8) -> Result<u8, &'static str> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err("has a second line with something else than the digits 0 to 9 and a to f"),
    }
}
