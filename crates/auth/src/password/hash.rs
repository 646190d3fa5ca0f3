//! One stored password: what a line of a password file keeps instead of it.
//!
//! | begins with | what it is |
//! |---|---|
//! | `$6$salt$hash` | SHA-512 of password and salt, once (mosquitto_passwd before 2.0) |
//! | `$7$rounds$salt$hash` | PBKDF2-HMAC-SHA512 (mosquitto_passwd) |
//! | `$argon2id$v=19$m=..,t=..,p=..$salt$hash` | Argon2id in the PHC form |
//! | `$scram-sha-256$rounds$salt$StoredKey$ServerKey` | what SCRAM-SHA-256 needs (RFC 5802), and enough to check a password |
//!
//! Comparisons take the same time whatever differs. The cost of a hash is bounded where it is read, so that no line can
//! make the broker take gigabytes.

use crate::error::{AuthError, LineFault};
use crate::scram::ScramKeys;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, pbkdf2};
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;

const ROUNDS_MAX: u32 = 10_000_000;
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 1000;
const SALT_BYTES: usize = 16;
/// What `weir passwd` writes: 19 MiB, two passes, one lane, as OWASP recommends.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const HASH_BYTES: usize = 32;

/// A stored password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    Sha512 {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Pbkdf2 {
        rounds: NonZeroU32,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Argon2id {
        params: Params,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Scram(ScramKeys),
}

/// What a check of a password costs: the same for two stored passwords exactly when nobody can tell them apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cost {
    Sha512,
    Pbkdf2(u32),
    Argon2id(u32, u32, u32),
    Scram(u32),
}

impl Stored {
    /// Reads what stands behind `user:`.
    pub(crate) fn parse(text: &str) -> Result<Self, LineFault> {
        let Some(rest) = text.strip_prefix('$') else {
            return Err(LineFault::NotAHash);
        };
        let fields: Vec<&str> = rest.split('$').collect();
        match fields.as_slice() {
            ["6", salt, hash] => Ok(Self::Sha512 {
                salt: bytes(salt)?,
                hash: sized(bytes(hash)?, digest::SHA512_OUTPUT_LEN)?,
            }),
            ["7", rounds, salt, hash] => Ok(Self::Pbkdf2 {
                rounds: number(rounds, ROUNDS_MAX)?,
                salt: bytes(salt)?,
                hash: sized(bytes(hash)?, digest::SHA512_OUTPUT_LEN)?,
            }),
            ["argon2id", "v=19", costs, salt, hash] => argon2id(costs, salt, hash),
            ["scram-sha-256", rounds, salt, stored_key, server_key] => Ok(Self::Scram(ScramKeys {
                rounds: number(rounds, ROUNDS_MAX)?,
                salt: bytes(salt)?,
                stored_key: key(stored_key)?,
                server_key: key(server_key)?,
            })),
            ["6" | "7" | "argon2id" | "scram-sha-256", ..] => Err(LineFault::BrokenHash),
            _ => Err(LineFault::UnknownHash),
        }
    }

    /// Whether this is the password. It takes long, and is meant to.
    pub(crate) fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha512 { salt, hash } => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(salt);
                is_same(context.finish().as_ref(), hash)
            }
            Self::Pbkdf2 { rounds, salt, hash } => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
                pbkdf2::verify(algorithm, *rounds, salt, password, hash).is_ok()
            }
            Self::Argon2id { params, salt, hash } => {
                let mut found = vec![0; hash.len()];
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
                argon2
                    .hash_password_into(password, salt, &mut found)
                    .is_ok()
                    && is_same(&found, hash)
            }
            Self::Scram(keys) => keys.is_of(password),
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        match self {
            Self::Sha512 { .. } => Cost::Sha512,
            Self::Pbkdf2 { rounds, .. } => Cost::Pbkdf2(rounds.get()),
            Self::Argon2id { params, .. } => {
                Cost::Argon2id(params.m_cost(), params.t_cost(), params.p_cost())
            }
            Self::Scram(keys) => Cost::Scram(keys.rounds.get()),
        }
    }

    /// The keys of SCRAM, if these are stored.
    pub(crate) fn scram(&self) -> Option<&ScramKeys> {
        match self {
            Self::Scram(keys) => Some(keys),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Stored {
    /// Only what it costs: a hash is worth guessing at.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cost().fmt(f)
    }
}

/// What `weir passwd` writes for a password: Argon2id.
pub(crate) fn argon2id_line(password: &[u8]) -> Result<String, AuthError> {
    let salt = random::<SALT_BYTES>()?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_BYTES));
    let mut hash = [0; HASH_BYTES];
    params
        .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
        .and_then(|argon2| argon2.hash_password_into(password, &salt, &mut hash))
        // Its only reasons are parameters out of range, which these are not, and a password of gigabytes.
        .map_err(|_| AuthError::Random)?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}"
    ))
}

/// What `weir passwd --scram` writes for a password.
pub(crate) fn scram_line(password: &[u8]) -> Result<String, AuthError> {
    let keys = ScramKeys::derive(password, &random::<SALT_BYTES>()?);
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    Ok(format!(
        "$scram-sha-256${}${}${}${}",
        keys.rounds,
        base64(&keys.salt),
        base64(&keys.stored_key),
        base64(&keys.server_key)
    ))
}

/// Bytes that nobody can foresee.
pub(crate) fn random<const BYTES: usize>() -> Result<[u8; BYTES], AuthError> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| AuthError::Random)
}

/// Whether two hashes are the same, in a time that tells nothing.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn argon2id(costs: &str, salt: &str, hash: &str) -> Result<Stored, LineFault> {
    let mut found = [None; 3];
    for cost in costs.split(',') {
        let (name, value) = cost.split_once('=').ok_or(LineFault::BrokenHash)?;
        let at = ["m", "t", "p"].iter().position(|known| *known == name);
        let value: u32 = value.parse().map_err(|_| LineFault::BrokenHash)?;
        found[at.ok_or(LineFault::BrokenHash)?] = Some(value);
    }
    let [Some(memory_kib), Some(passes), Some(lanes)] = found else {
        return Err(LineFault::BrokenHash);
    };
    if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > 64 {
        return Err(LineFault::CostlyHash);
    }
    let hash = bytes(hash)?;
    let params = Params::new(memory_kib, passes, lanes, Some(hash.len()));
    Ok(Stored::Argon2id {
        params: params.map_err(|_| LineFault::BrokenHash)?,
        salt: bytes(salt)?,
        hash,
    })
}

/// Base64, padded or not.
fn bytes(text: &str) -> Result<Vec<u8>, LineFault> {
    let decoded = STANDARD_NO_PAD.decode(text.trim_end_matches('='));
    let decoded = decoded.map_err(|_| LineFault::BrokenHash)?;
    match decoded.is_empty() {
        true => Err(LineFault::BrokenHash),
        false => Ok(decoded),
    }
}

fn sized(bytes: Vec<u8>, len: usize) -> Result<Vec<u8>, LineFault> {
    match bytes.len() == len {
        true => Ok(bytes),
        false => Err(LineFault::BrokenHash),
    }
}

fn key(text: &str) -> Result<[u8; 32], LineFault> {
    bytes(text)?.try_into().map_err(|_| LineFault::BrokenHash)
}

fn number(text: &str, max: u32) -> Result<NonZeroU32, LineFault> {
    let number: NonZeroU32 = text.parse().map_err(|_| LineFault::BrokenHash)?;
    match number.get() <= max {
        true => Ok(number),
        false => Err(LineFault::CostlyHash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by mosquitto_passwd 2.0.11 for the password `secret one`.
    const MOSQUITTO: [&str; 2] = [
        "$6$OumHQDSJsyp0b4W4$D79LVQ6i64HK2/nfzQUHvgbjQoqgbyd4cwWTLXcPENsBzJxOjqITqkCX10rqUyA+olFkqKIat0DcGQ921a5A+A==",
        "$7$101$yrSdazRk9AXaTc+S$xZajRwynh7y56GkNJ05xvjoU8fzFR09a9AJ5nyjkAoU5B8FT3XnX6mYvTyAw7ImJCK4QL9TULxoYEmhsxaS8kA==",
    ];

    #[test]
    fn what_mosquitto_passwd_writes_is_read() {
        for line in MOSQUITTO {
            let stored = Stored::parse(line).unwrap();
            assert!(stored.is_of(b"secret one"), "{line}");
            for wrong in ["", "secret", "secret one ", "Secret one"] {
                assert!(!stored.is_of(wrong.as_bytes()), "{line}: {wrong}");
            }
        }
    }

    #[test]
    fn what_is_written_here_is_read_here() {
        for line in [
            argon2id_line(b"p\0w").unwrap(),
            scram_line(b"p\0w").unwrap(),
        ] {
            let stored = Stored::parse(&line).unwrap();
            assert!(stored.is_of(b"p\0w"), "{line}");
            assert!(!stored.is_of(b"p"), "{line}");
            assert!(!format!("{stored:?}").contains('='), "{stored:?}");
        }
        assert_ne!(argon2id_line(b"x").unwrap(), argon2id_line(b"x").unwrap());
    }

    /// The reference implementation's own example: `echo -n "password" | argon2 somesalt -id -t 2 -m 16 -p 1`.
    #[test]
    fn argon2id_of_others_is_read() {
        let line = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(Stored::parse(line).unwrap().is_of(b"password"));
    }

    #[test]
    fn what_is_no_hash_is_refused_with_its_fault() {
        let fault = |text: &str| Stored::parse(text).unwrap_err();
        assert_eq!(fault("plain"), LineFault::NotAHash);
        assert_eq!(fault(""), LineFault::NotAHash);
        assert_eq!(fault("$2b$12$abc"), LineFault::UnknownHash);
        assert_eq!(
            fault("$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAA"),
            LineFault::UnknownHash
        );
        for broken in [
            "$6$",
            "$6$abc",
            "$6$AAAA$AAAA",
            "$6$!!$AAAA",
            "$7$0$AAAA$AAAA",
            "$7$x$AAAA$AAAA",
            "$argon2id$v=19$m=8$AAAAAAAAAAA$AAAAAAAA",
            "$argon2id$v=16$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAA",
            "$argon2id$v=19$m=8,t=1,p=1$$AAAAAAAA",
            "$scram-sha-256$4096$AAAA$AAAA$AAAA",
        ] {
            assert_eq!(fault(broken), LineFault::BrokenHash, "{broken}");
        }
        for costly in [
            "$7$99999999$AAAA$AAAA",
            "$argon2id$v=19$m=99999999,t=1,p=1$AAAAAAAAAAA$AAAAAAAA",
        ] {
            assert_eq!(fault(costly), LineFault::CostlyHash, "{costly}");
        }
    }
}
