//! The keys that tokens are checked with, and which algorithms each is for.
//!
//! An algorithm belongs to a key, by its kind: a token that names another is refused. So nobody can have a public key taken
//! for the secret of HMAC.

use super::Shared;
use crate::error::{AuthError, FileFault};
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

const SECRET_BYTES_MIN: usize = 32;
/// The bytes of an uncompressed point.
const P256_BYTES: usize = 65;

/// Keys, any of which may have signed a token.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One key. `Debug` shows no secret.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    pub(crate) decoding: DecodingKey,
    /// Never empty.
    pub(crate) algorithms: Vec<Algorithm>,
}

impl KeySet {
    /// Reads a file of public keys: PEM, or a JWKS.
    pub(crate) fn read_public(path: &Path, text: &str) -> Result<Self, AuthError> {
        let keys = match text.trim_start().starts_with('{') {
            true => Self::parse_jwks(text),
            false => Self::parse_pem(text),
        };
        keys.ok_or_else(|| AuthError::File(path.to_path_buf(), FileFault::NoKey))
    }

    /// Reads a file that is a secret.
    pub(crate) fn read_secret(path: &Path, text: &str) -> Result<Self, AuthError> {
        let secret = text.trim_end();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(AuthError::File(path.to_path_buf(), FileFault::ShortSecret));
        }
        Ok(Self {
            keys: vec![Key {
                id: None,
                decoding: DecodingKey::from_secret(secret.as_bytes()),
                algorithms: AlgorithmFamily::Hmac.algorithms().to_vec(),
            }],
        })
    }

    /// Reads a JWKS; keys of kinds that are not known here are left out. `None`: no key is left.
    pub(crate) fn parse_jwks(text: &str) -> Option<Self> {
        let set: JwkSet = serde_json::from_str(text).ok()?;
        Self::of(set.keys.iter().filter_map(Key::of_jwk).collect())
    }

    fn parse_pem(text: &str) -> Option<Self> {
        let blocks = text.split_inclusive("-----END ").collect::<Vec<_>>();
        // Each part but the first begins with the rest of an end line, each but the last ends with the begin of one.
        let blocks = blocks.windows(2).filter_map(|pair| {
            let end = pair[1].lines().next()?;
            let begin = pair[0].rfind("-----BEGIN ")?;
            Some(format!("{}{end}\n", &pair[0][begin..]))
        });
        Self::of(
            blocks
                .filter_map(|block| Key::of_pem(block.as_bytes()))
                .collect(),
        )
    }

    fn of(keys: Vec<Key>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Whether there is a key of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// The keys that may have signed a token with this header. A key without an id may be any.
    pub(crate) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            let may_be = key.id.is_none() || id.is_none() || key.id.as_deref() == id;
            may_be && key.algorithms.contains(&algorithm)
        })
    }

    pub(crate) fn shared(self) -> Shared {
        Arc::new(self)
    }
}

impl Key {
    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let is_for_encryption = matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
        let family = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(key) => vec![match key.curve {
                EllipticCurve::P256 => Algorithm::ES256,
                EllipticCurve::P384 => Algorithm::ES384,
                _ => return None,
            }],
            AlgorithmParameters::OctetKeyPair(_) => vec![Algorithm::EdDSA],
            // A secret does not belong in what is published.
            _ => return None,
        };
        let algorithms = match jwk.common.key_algorithm {
            None => family,
            Some(named) => vec![only(named).filter(|named| family.contains(named))?],
        };
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        (!is_for_encryption).then(|| Self {
            id: jwk.common.key_id.clone(),
            decoding,
            algorithms,
        })
    }

    fn of_pem(pem: &[u8]) -> Option<Self> {
        let decoding = DecodingKey::from_rsa_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .ok()?;
        let algorithms = match decoding.family() {
            AlgorithmFamily::Ec if decoding.try_get_as_bytes().ok()?.len() == P256_BYTES => {
                vec![Algorithm::ES256]
            }
            AlgorithmFamily::Ec => vec![Algorithm::ES384],
            family => family.algorithms().to_vec(),
        };
        Some(Self {
            id: None,
            decoding,
            algorithms,
        })
    }
}

fn only(named: KeyAlgorithm) -> Option<Algorithm> {
    Algorithm::from_str(&named.to_string()).ok()
}
