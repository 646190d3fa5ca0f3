//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: the client proves that it knows a password without sending it,
//! and is shown that the server knows it too.
//!
//! ```text
//! client-first  n,,n=user,r=nonce                 in the Authentication Data of CONNECT or AUTH 0x19
//! server-first  r=nonce+ours,s=salt,i=rounds      AUTH 0x18
//! client-final  c=biws,r=nonce+ours,p=proof       AUTH 0x18
//! server-final  v=signature                       CONNACK or AUTH 0x00
//! ```
//! Channel binding is not offered. An unknown user is asked just like a known one, with a salt that is always the same for
//! the same name, and fails at the proof.

use crate::password::{is_same, random};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// The name of the Authentication Method.
pub(crate) const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// Rounds for new lines: above the 4096 that RFC 7677 asks for at least.
const ROUNDS: NonZeroU32 = NonZeroU32::new(16_384).expect("not zero");

const NONCE_BYTES: usize = 18;

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ScramKeys {
    pub(crate) rounds: NonZeroU32,
    pub(crate) salt: Vec<u8>,
    pub(crate) stored_key: [u8; 32],
    pub(crate) server_key: [u8; 32],
}

/// A client's first message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    /// Its user name.
    pub(crate) user: String,
    /// The header before the rest, as the last message has to repeat it: in base64.
    header: &'static str,
    bare: String,
    nonce: String,
}

/// An exchange that awaits the client's proof.
pub(crate) struct Awaiting {
    keys: ScramKeys,
    /// Whether the keys are those of the user: else no proof can be right.
    is_known: bool,
    header: &'static str,
    nonce: String,
    first_messages: String,
}

impl ScramKeys {
    pub(crate) fn derive(password: &[u8], salt: &[u8]) -> Self {
        let salted = salted(password, salt, ROUNDS);
        Self {
            rounds: ROUNDS,
            salt: salt.to_vec(),
            stored_key: sha256(&sign(&salted, b"Client Key")),
            server_key: sign(&salted, b"Server Key"),
        }
    }

    pub(crate) fn is_of(&self, password: &[u8]) -> bool {
        let salted = salted(password, &self.salt, self.rounds);
        is_same(&sha256(&sign(&salted, b"Client Key")), &self.stored_key)
    }

    /// Keys that belong to no password, for a user that does not exist; the same for the same user and secret.
    pub(crate) fn invented(user: &str, secret: &[u8; 32]) -> Self {
        let salt = sign(secret, user.as_bytes())[..16].to_vec();
        Self {
            rounds: ROUNDS,
            salt,
            stored_key: [0; 32],
            server_key: [0; 32],
        }
    }
}

impl ClientFirst {
    /// Reads `n,,n=user,r=nonce`. `None`: it is not that, or asks for channel binding or another identity.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        // `y`: the client could bind the channel and believes that we can't, which is so.
        let (header, bare) = match text.split_at_checked(3)? {
            ("n,,", bare) => ("biws", bare),
            ("y,,", bare) => ("eSws", bare),
            _ => return None,
        };
        let mut attributes = bare.split(',');
        let user = attributes.next()?.strip_prefix("n=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if user.is_empty() || nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return None;
        }
        Some(Self {
            user: unescape(user)?,
            header,
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }

    /// What to ask the client, and what then awaits its answer.
    pub(crate) fn challenge(self, keys: ScramKeys, is_known: bool) -> Option<(Bytes, Awaiting)> {
        let ours = STANDARD.encode(random::<NONCE_BYTES>().ok()?);
        Some(self.challenge_with(&ours, keys, is_known))
    }

    fn challenge_with(self, ours: &str, keys: ScramKeys, is_known: bool) -> (Bytes, Awaiting) {
        let nonce = format!("{}{ours}", self.nonce);
        let salt = STANDARD.encode(&keys.salt);
        let server_first = format!("r={nonce},s={salt},i={}", keys.rounds);
        let awaiting = Awaiting {
            is_known,
            header: self.header,
            first_messages: format!("{},{server_first}", self.bare),
            nonce,
            keys,
        };
        (server_first.into(), awaiting)
    }
}

impl Awaiting {
    /// The server's last message, if the client's proof is right.
    pub(crate) fn conclude(&self, data: &[u8]) -> Option<Bytes> {
        let text = std::str::from_utf8(data).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let header = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if header != self.header || nonce != self.nonce {
            return None;
        }
        let proof: [u8; 32] = STANDARD.decode(proof).ok()?.try_into().ok()?;
        let message = format!("{},{without_proof}", self.first_messages);
        let mut client_key = sign(&self.keys.stored_key, message.as_bytes());
        for (byte, mask) in client_key.iter_mut().zip(proof) {
            *byte ^= mask;
        }
        let is_right = is_same(&sha256(&client_key), &self.keys.stored_key);
        (is_right && self.is_known).then(|| {
            let signature = sign(&self.keys.server_key, message.as_bytes());
            format!("v={}", STANDARD.encode(signature)).into()
        })
    }
}

/// `=2C` and `=3D` stand for `,` and `=`.
fn unescape(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut parts = name.split('=');
    plain.push_str(parts.next()?);
    for part in parts {
        let (escape, rest) = part.split_at_checked(2)?;
        plain.push(match escape {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

fn salted(password: &[u8], salt: &[u8], rounds: NonZeroU32) -> [u8; 32] {
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        salt,
        password,
        &mut salted,
    );
    salted
}

fn sign(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn keys() -> ScramKeys {
        let (rounds, salt) = (
            NonZeroU32::new(4096).unwrap(),
            STANDARD.decode(SALT).unwrap(),
        );
        let salted = salted(b"pencil", &salt, rounds);
        ScramKeys {
            rounds,
            salt,
            stored_key: sha256(&sign(&salted, b"Client Key")),
            server_key: sign(&salted, b"Server Key"),
        }
    }

    fn begun(is_known: bool) -> (Bytes, Awaiting) {
        let first = ClientFirst::parse(CLIENT_FIRST.as_bytes()).unwrap();
        first.challenge_with(SERVER_NONCE, keys(), is_known)
    }

    #[test]
    fn the_example_of_the_rfc_holds() {
        let (server_first, awaiting) = begun(true);
        assert_eq!(
            server_first,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let server_final = awaiting.conclude(CLIENT_FINAL.as_bytes());
        assert_eq!(server_final.unwrap(), SERVER_FINAL);
    }

    #[test]
    fn any_other_proof_nonce_or_binding_is_refused() {
        let (_, awaiting) = begun(true);
        for (from, to) in [
            ("p=d", "p=e"),
            ("r=r", "r=s"),
            ("c=biws", "c=eHh4"),
            (",p=", ",q="),
        ] {
            let wrong = CLIENT_FINAL.replacen(from, to, 1);
            assert!(awaiting.conclude(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(awaiting.conclude(b"").is_none());
    }

    /// RFC 5802, 5.1: whoever changed the header of the first message on the way is found out by the last one.
    #[test]
    fn the_header_of_the_first_message_has_to_be_repeated() {
        for (first, last, is_repeated) in [
            ("n", "biws", true),
            ("y", "eSws", true),
            ("n", "eSws", false),
            ("y", "biws", false),
        ] {
            let first = CLIENT_FIRST.replacen('n', first, 1);
            let first = ClientFirst::parse(first.as_bytes()).unwrap();
            let (_, awaiting) = first.challenge_with(SERVER_NONCE, keys(), true);
            let (unproven, _) = CLIENT_FINAL.split_once(",p=").unwrap();
            let unproven = unproven.replacen("biws", last, 1);
            let message = format!("{},{unproven}", awaiting.first_messages);
            let salted = salted(b"pencil", &STANDARD.decode(SALT).unwrap(), keys().rounds);
            let mut proof = sign(&salted, b"Client Key");
            let signature = sign(&keys().stored_key, message.as_bytes());
            proof
                .iter_mut()
                .zip(signature)
                .for_each(|(byte, mask)| *byte ^= mask);
            let last = format!("{unproven},p={}", STANDARD.encode(proof));
            assert_eq!(
                awaiting.conclude(last.as_bytes()).is_some(),
                is_repeated,
                "{last}"
            );
        }
    }

    #[test]
    fn even_the_right_proof_of_an_unknown_user_is_refused() {
        let (_, awaiting) = begun(false);
        assert!(awaiting.conclude(CLIENT_FINAL.as_bytes()).is_none());
    }

    #[test]
    fn an_unknown_user_is_asked_the_same_question_each_time() {
        let [one, again, other] =
            ["a", "a", "b"].map(|user| ScramKeys::invented(user, &[7; 32]).salt);
        assert!(one == again && one != other);
    }

    #[test]
    fn names_are_unescaped_and_what_is_no_first_message_is_refused() {
        let user = |text: &str| ClientFirst::parse(text.as_bytes()).map(|first| first.user);
        assert_eq!(user("n,,n=a=2Cb=3Dc,r=x").as_deref(), Some("a,b=c"));
        assert_eq!(user("y,,n=a,r=x").as_deref(), Some("a"));
        for bad in [
            "",
            "n,,",
            "n,,n=,r=x",
            "n,,n=a=2,r=x",
            "n,,n=a=zz,r=x",
            "p=tls-unique,,n=a,r=x",
            "n,a=b,n=a,r=x",
            "n,,n=a,r=",
            "n,,m=x,n=a,r=x",
        ] {
            assert_eq!(user(bad), None, "{bad}");
        }
    }
}
