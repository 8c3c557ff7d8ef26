//! Content that carries its own hash (`docs/protocol.md` M13).

use crate::hash::{Digest, Domain, hash};
use crate::wire::encoded_size;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

/// What can be named by the hash of its canonical bytes.
pub trait Content: Serialize {
    /// The label of its hash.
    const DOMAIN: Domain;

    /// The hash. Of the canonical bytes, unless the content has a part that is named by a hash of its own.
    fn content_hash(&self) -> Digest
    where
        Self: Sized,
    {
        content_hash(Self::DOMAIN, self)
    }
}

/// A `T` with the hash of its canonical bytes, computed once, where the `T` is made or decoded. The hash is not
/// encoded: whoever decodes computes it anew, so a body can never disagree with its name.
#[derive(Clone)]
pub struct Hashed<T> {
    content: T,
    digest: Digest,
}

impl<T: Content> Hashed<T> {
    /// Computes the hash of `content`.
    #[must_use]
    pub fn new(content: T) -> Self {
        Self { digest: content.content_hash(), content }
    }
}

impl<T> Hashed<T> {
    /// The hash.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The content alone.
    #[must_use]
    pub fn into_content(self) -> T {
        self.content
    }
}

/// The hash of the canonical bytes of `content`.
#[must_use]
pub fn content_hash(domain: Domain, content: &impl Serialize) -> Digest {
    let mut short = [0; 480];
    match postcard::to_slice(content, &mut short) {
        Ok(bytes) => hash(domain, bytes),
        Err(_) => {
            let bytes = Vec::with_capacity(encoded_size(content));
            hash(domain, &postcard::to_extend(content, bytes).expect("content of bounded size encodes"))
        }
    }
}

impl<T> Deref for Hashed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl<T> Eq for Hashed<T> {}

impl<T: fmt::Debug> fmt::Debug for Hashed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}={:?}", self.digest, self.content)
    }
}

impl<T: Serialize> Serialize for Hashed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.content.serialize(serializer)
    }
}

impl<'de, T: Content + Deserialize<'de>> Deserialize<'de> for Hashed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}
