//! Whose a token is: the policy's hashes, found again by the hash of what was presented.

use std::collections::{BTreeSet, HashMap};

use super::token::TokenHash;
use crate::base::clock::Timestamp;

/// The hashes of all tokens that a policy knows, and the clients that hold them.
///
/// A request is looked up by the hash of its token alone, before a client's name is looked at, so that the work does not
/// tell which clients exist; and however many there are, it is the same. That it depends on the hash tells nothing of a
/// token: it is the SHA-256 of 256 random bits, which nobody can steer, or find the bits to. Besides, the table hashes it
/// once more, with a key of its own, and what lies at that place is compared in constant time.
#[derive(Debug, Default)]
pub struct Holders(HashMap<TokenHash, Vec<Holder>>);

/// A client that holds a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub client: String,
    ends: Option<Timestamp>,
}

impl Holders {
    /// The token with this hash is `client`'s, until it ends. The longer time counts if that is said twice.
    pub fn add(&mut self, hash: &TokenHash, client: &str, ends: Option<Timestamp>) {
        let holders = self.0.entry(hash.clone()).or_default();
        match holders.iter_mut().find(|holder| holder.client == client) {
            Some(holder) => holder.ends = holder.ends.zip(ends).map(|(one, other)| one.max(other)),
            None => holders.push(Holder { client: client.to_owned(), ends }),
        }
    }

    /// The clients that hold the token with this hash.
    pub fn of(&self, hash: &TokenHash) -> &[Holder] {
        self.0.get(hash).map_or(&[], Vec::as_slice)
    }

    /// For each token that several clients hold, these clients, in alphabetical order.
    pub fn shared(&self) -> BTreeSet<BTreeSet<&str>> {
        let several = self.0.values().filter(|holders| holders.len() > 1);
        several.map(|holders| holders.iter().map(|holder| holder.client.as_str()).collect()).collect()
    }
}

impl Holder {
    /// When the token expires for this client; none: never.
    pub fn ends(&self) -> Option<Timestamp> {
        self.ends
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::Token;
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(1_795_520_204_000_000_000);

    #[test]
    fn a_token_is_of_those_who_have_its_hash_however_many_clients_there_are() {
        let tokens: Vec<_> = (0..1000).map(|_| Token::generate().unwrap()).collect();
        let mut holders = Holders::default();
        for (number, token) in tokens.iter().enumerate() {
            holders.add(&token.hash(), &format!("client_{number}"), None);
        }
        holders.add(&tokens[7].hash(), "another", None);
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(holders.of(&token.hash())[0].client, format!("client_{number}"));
        }
        assert!(holders.of(&Token::generate().unwrap().hash()).is_empty());
        assert_eq!(holders.shared(), [["another", "client_7"].into()].into());
    }

    #[test]
    fn a_hash_that_one_client_has_twice_is_worth_something_for_the_longer_time() {
        let token = Token::generate().unwrap().hash();
        let (past, future) = (Some(NOW), Some(NOW.plus_days(1)));
        for (ends, has_ended) in [
            ([past, past], true),
            ([past, future], false),
            ([future, past], false),
            ([None, past], false),
            ([past, None], false),
        ] {
            let mut holders = Holders::default();
            ends.into_iter().for_each(|ends| holders.add(&token, "web", ends));
            assert_eq!(holders.of(&token).len(), 1);
            assert_eq!(holders.of(&token)[0].has_ended(NOW), has_ended, "{ends:?}");
        }
        assert!(Holders::default().shared().is_empty());
    }
}
