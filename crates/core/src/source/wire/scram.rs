//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: the client's side, bytes in and bytes out.
//!
//! Comes in: the password and the server's messages. Goes out: the client's messages, and in the end
//! whether the server knows the password too. What must hold: what is derived from the password is
//! wiped, and a server cannot make us count for ever. Follows RFC 5802, 7677 and 5929.

use std::borrow::Cow;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2, rand};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of SHA-256.
const HASH_BYTES: usize = 32;

/// Random bytes of the client's nonce, as many as libpq takes.
const NONCE_BYTES: usize = 18;

/// Iterations accepted at most: some seconds of work. PostgreSQL's default is 4096.
const MAX_ITERATIONS: u32 = 10_000_000;

/// What the login is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Binding {
    /// We cannot or will not bind it.
    None,
    /// We could, and the server says that it cannot: it will object if it can after all.
    NotOffered,
    /// To the hash of the server's certificate.
    EndPoint(Vec<u8>),
}

impl Binding {
    /// The mechanism's name.
    pub(super) fn mechanism(&self) -> &'static str {
        match self {
            Binding::None | Binding::NotOffered => "SCRAM-SHA-256",
            Binding::EndPoint(_) => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The header that every exchange begins with.
    fn header(&self) -> &'static str {
        match self {
            Binding::None => "n,,",
            Binding::NotOffered => "y,,",
            Binding::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// Header and data, as the client's last message repeats them.
    fn encode(&self) -> String {
        let mut bytes = self.header().as_bytes().to_vec();
        if let Binding::EndPoint(data) = self {
            bytes.extend(data);
        }
        BASE64.encode(bytes)
    }
}

/// An exchange whose first message is ready.
pub(super) struct Exchange<'a> {
    password: &'a [u8],
    binding: Binding,
    nonce: String,
}

/// What the server must prove.
pub(super) struct Expectation {
    server_key: Zeroizing<Vec<u8>>,
    conversation: String,
}

/// What goes wrong in words; it repeats nothing of the server's.
type Result<T> = std::result::Result<T, &'static str>;

impl<'a> Exchange<'a> {
    /// Begins an exchange.
    pub(super) fn new(password: &'a [u8], binding: Binding) -> Result<Exchange<'a>> {
        let mut bytes = [0; NONCE_BYTES];
        rand::SystemRandom::new().fill(&mut bytes).map_err(|_| "there are no random numbers")?;
        Ok(Exchange { password, binding, nonce: BASE64.encode(bytes) })
    }

    /// The client's first message.
    pub(super) fn first_message(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare_message())
    }

    /// The same without its header; the name is the one of the startup message.
    fn bare_message(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// The client's last message, in answer to the server's first.
    pub(super) fn answer(&self, challenge: &[u8]) -> Result<(String, Expectation)> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "the challenge is not text")?;
        let (nonce, salt, iterations) = read_challenge(challenge)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server repeats another client's challenge");
        }
        let salted = salt_password(self.password, &salt, iterations);
        let client_key = sign(&salted[..], b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let without_proof = format!("c={},r={nonce}", self.binding.encode());
        let conversation = format!("{},{challenge},{without_proof}", self.bare_message());
        let signature = sign(stored_key.as_ref(), conversation.as_bytes());
        let proof: Zeroizing<Vec<u8>> =
            Zeroizing::new(client_key.iter().zip(&signature[..]).map(|(a, b)| a ^ b).collect());
        let answer = format!("{without_proof},p={}", BASE64.encode(&proof));
        let server_key = sign(&salted[..], b"Server Key");
        Ok((answer, Expectation { server_key, conversation }))
    }
}

impl Expectation {
    /// Checks the server's last message.
    pub(super) fn check(&self, last: &[u8]) -> Result<()> {
        let last = std::str::from_utf8(last).map_err(|_| "the server's proof is not text")?;
        let proof = last.split(',').next().and_then(|field| field.strip_prefix("v="));
        let proof = proof.and_then(|proof| BASE64.decode(proof).ok());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.server_key);
        // Compares in constant time.
        proof
            .and_then(|proof| hmac::verify(&key, self.conversation.as_bytes(), &proof).ok())
            .ok_or("the server does not know the password itself")
    }
}

/// Nonce, salt and number of iterations of the server's first message.
fn read_challenge(challenge: &str) -> Result<(&str, Vec<u8>, NonZeroU32)> {
    let unreadable = "the challenge cannot be read";
    let mut fields = challenge.split(',');
    let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name));
    let (Some(nonce), Some(salt), Some(iterations)) = (field("r="), field("s="), field("i="))
    else {
        return Err(unreadable);
    };
    let salt = BASE64.decode(salt).map_err(|_| unreadable)?;
    let iterations = iterations.parse::<NonZeroU32>().map_err(|_| unreadable)?;
    if iterations.get() > MAX_ITERATIONS {
        return Err("the server asks for more iterations than is reasonable");
    }
    Ok((nonce, salt, iterations))
}

/// Derives the salted password; one that SASLprep does not take is used as it is, as the server does.
fn salt_password(
    password: &[u8],
    salt: &[u8],
    iterations: NonZeroU32,
) -> Zeroizing<[u8; HASH_BYTES]> {
    let prepared =
        std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    let mut salted = Zeroizing::new([0; HASH_BYTES]);
    let password = prepared.as_ref().map_or(password, |prepared| prepared.as_bytes());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut salted[..]);
    if let Some(Cow::Owned(mut prepared)) = prepared {
        prepared.zeroize();
    }
    salted
}

/// HMAC-SHA-256.
fn sign(key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    Zeroizing::new(hmac::sign(&key, message).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, without the user's name, which PostgreSQL leaves out.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn exchange(password: &[u8], binding: Binding) -> Exchange<'_> {
        Exchange { password, binding, nonce: NONCE.to_owned() }
    }

    #[test]
    fn the_salted_password_is_the_one_of_the_rfc() {
        // Hi("pencil", salt, 4096), from which the RFC's proofs follow.
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salt_password(b"pencil", &salt, NonZeroU32::new(4096).unwrap());
        let client_key = sign(&salted[..], b"Client Key");
        let stored = digest::digest(&digest::SHA256, &client_key);
        let conversation = format!(
            "n=user,r={NONCE},{CHALLENGE},c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        );
        let signature = sign(stored.as_ref(), conversation.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature[..]).map(|(a, b)| a ^ b).collect();
        assert_eq!(BASE64.encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let server = sign(&sign(&salted[..], b"Server Key"), conversation.as_bytes());
        assert_eq!(BASE64.encode(&server[..]), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn an_answer_names_what_it_is_bound_to_and_only_the_right_proof_is_taken() {
        for (binding, header) in [
            (Binding::None, "n,,".as_bytes().to_vec()),
            (Binding::NotOffered, "y,,".as_bytes().to_vec()),
            (
                Binding::EndPoint(vec![0xff; 3]),
                [&b"p=tls-server-end-point,,"[..], &[0xff; 3]].concat(),
            ),
        ] {
            let exchange = exchange(b"pencil", binding);
            let (answer, expectation) = exchange.answer(CHALLENGE.as_bytes()).unwrap();
            let bound =
                answer.split(',').next().and_then(|field| field.strip_prefix("c=")).unwrap();
            assert_eq!(BASE64.decode(bound).unwrap(), header);
            let key = hmac::Key::new(hmac::HMAC_SHA256, &expectation.server_key);
            let proof = hmac::sign(&key, expectation.conversation.as_bytes());
            let good = format!("v={}", BASE64.encode(proof.as_ref()));
            expectation.check(good.as_bytes()).unwrap();
            for bad in ["v=", "v=AAAA", "e=other-error", "", "\u{1b}"] {
                assert!(expectation.check(bad.as_bytes()).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn a_challenge_of_somebody_else_or_without_end_is_refused() {
        let exchange = exchange(b"pencil", Binding::None);
        for challenge in [
            "",
            "r=other,s=W22Z,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=*,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=-1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4294967295",
            "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096",
        ] {
            assert!(exchange.answer(challenge.as_bytes()).is_err(), "{challenge}");
        }
    }

    #[test]
    fn passwords_that_look_alike_are_the_same() {
        let salted = |password: &[u8]| {
            salt_password(password, b"salt", NonZeroU32::new(1).unwrap()).to_vec()
        };
        assert_eq!(salted("I\u{ad}X".as_bytes()), salted(b"IX"));
        assert_eq!(salted("\u{2168}".as_bytes()), salted(b"IX"));
        assert_ne!(salted(b"\xff"), salted(b""));
    }
}
